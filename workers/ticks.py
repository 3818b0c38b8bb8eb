"""What the scheduler does: it calls the sweep directly, so that it works while Redis is away."""

import signal
from collections.abc import Callable, Collection

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.database import is_transient
from pipeline.operations.replication import explain_no_writes
from pipeline.saga.sweep import sweep
from workers.bootstrap import Components, announce_gateway, build_components, reading_settings

log = structlog.get_logger()


def tick(components: Components) -> None:
    """Sweep once. An error is logged; the next run comes at the next interval."""
    try:
        sweep(components.transactions, components.publisher, components.backlog, components.settings)
    except Exception as error:
        if is_transient(error):
            log.warning("sweep.deferred", error=explain_no_writes(error) or str(error))
        else:
            log.exception("sweep.raised")


def prepare() -> Callable[[Collection[signal.Signals]], None]:
    """Return what sweeps at every interval until one of the signals that it is given, all of which are blocked.

    A sweep that runs then is finished. Wrong settings end the process with a sentence.
    """
    with reading_settings() as settings:
        components = build_components(settings, "scheduler")
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

    def run(ending: Collection[signal.Signals]) -> None:
        announce_gateway(settings, "scheduler")
        scheduler.start()
        log.info("scheduler.started", sweep_interval_seconds=settings.sweep_interval_seconds)
        signal.sigwait(ending)
        scheduler.shutdown()
        components.close()

    return run
