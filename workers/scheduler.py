"""The scheduler: `python -m workers.scheduler`. It calls the sweep directly, so that it works while Redis is away.

Two concurrent schedulers are harmless.
"""

import signal
import sys
from typing import Final

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.database import is_transient
from pipeline.saga.sweep import sweep
from pipeline.settings import SettingsError, read_settings
from workers.bootstrap import Components, announce_gateway, build_components
from workers.logs import configure_logs

log = structlog.get_logger()

#: They end the process.
ENDING: Final = (signal.SIGTERM, signal.SIGINT)


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
    """Sweep at every interval until stopped; a sweep that runs then is finished."""
    # Blocked before any thread starts, and awaited at the end. A handler runs at any point of the main thread: one that
    # sets an event while this thread has the event's lock would wait for it forever.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
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
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_job(
        tick,
        "interval",
        args=[components],
        seconds=settings.sweep_interval_seconds,
        max_instances=1,
        coalesce=True,
        id="sweep",
    )
    scheduler.start()
    log.info("scheduler.started", sweep_interval_seconds=settings.sweep_interval_seconds)
    signal.sigwait(ENDING)
    scheduler.shutdown()
    components.close()


if __name__ == "__main__":
    main()
