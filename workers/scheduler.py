"""The scheduler: `python -m workers.scheduler`. It calls the sweep directly, so that it works while Redis is away.

Two concurrent schedulers are harmless.
"""

import signal
import sys
from types import FrameType

import structlog
from apscheduler.schedulers.base import STATE_STOPPED
from apscheduler.schedulers.blocking import BlockingScheduler

from pipeline.database import is_transient
from pipeline.saga.sweep import sweep
from pipeline.settings import SettingsError, read_settings
from workers.bootstrap import Components, announce_gateway, build_components
from workers.logs import configure_logs

log = structlog.get_logger()


def tick(components: Components) -> None:
    """Sweep once. An error is logged; the next run comes at the next interval."""
    try:
        sweep(components.transactions, components.publisher, components.backlog, components.settings)
    except Exception as error:
        if is_transient(error):
            log.warning("sweep.deferred", error=str(error))
        else:
            log.exception("sweep.raised")


def main() -> None:
    """Sweep at every interval until stopped."""
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.exit(str(error))
    configure_logs(settings)
    try:
        components = build_components(settings, "scheduler")
    except SettingsError as error:
        sys.exit(str(error))
    announce_gateway(settings, "scheduler")
    scheduler = BlockingScheduler(timezone="UTC")
    scheduler.add_job(
        tick,
        "interval",
        args=[components],
        seconds=settings.sweep_interval_seconds,
        max_instances=1,
        coalesce=True,
        id="sweep",
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if scheduler.state == STATE_STOPPED:  # stopped before it has started
            sys.exit(0)
        scheduler.shutdown(wait=False)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("scheduler.started", sweep_interval_seconds=settings.sweep_interval_seconds)
    scheduler.start()
    components.close()


if __name__ == "__main__":
    main()
