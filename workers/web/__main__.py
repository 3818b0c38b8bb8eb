"""The HTTP process: `python -m workers.web`."""

import signal
import sys

from workers.start import loading


def main() -> None:
    """Serve until stopped."""
    # Until the server has its own handler: a stop during the start works like a later one.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    with loading():
        from workers.web.server import prepare  # noqa: PLC0415 (as `loading` says)

        serve = prepare()
    serve()


if __name__ == "__main__":
    main()
