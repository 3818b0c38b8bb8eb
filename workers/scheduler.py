"""The scheduler: `python -m workers.scheduler`. Two concurrent schedulers are harmless."""

import signal
from typing import Final

from workers.start import loading

#: They end the process.
ENDING: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Sweep at every interval until stopped; a sweep that runs then is finished."""
    # Blocked before any thread starts, and awaited at the end. A handler runs at any point of the main thread: one that
    # sets an event while this thread has the event's lock would wait for it forever.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    with loading():
        from workers.ticks import prepare  # noqa: PLC0415 (as `loading` says)

        sweep_until = prepare()
    sweep_until(ENDING)


if __name__ == "__main__":
    main()
