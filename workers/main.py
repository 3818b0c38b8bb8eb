"""The worker process: `dramatiq workers.main:build_broker -Q <queue>` builds the broker with every actor."""

from typing import TYPE_CHECKING

from workers.start import loading

if TYPE_CHECKING:
    from pipeline.gateways import Gateway
    from workers.broker.batch_broker import BatchBroker


def build_broker(*, gateway: "Gateway | None" = None) -> "BatchBroker":
    """Build this worker process, and set its broker as the one that dramatiq's command line serves.

    `gateway` replaces the one that the settings name. Wrong settings end the process with a sentence.
    """
    with loading():
        from workers.worker import build_worker  # noqa: PLC0415 (as `loading` says)

        return build_worker(gateway)
