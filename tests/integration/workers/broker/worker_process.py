"""A worker in a process of its own, to be killed: writes each id it is given into a file, then waits for ever."""

import os
import sys
import threading
from pathlib import Path

import dramatiq

from tests.integration.workers.broker.workshop import ACTOR, QUEUE
from workers.broker.batch_broker import BatchBroker
from workers.broker.message_validation import UnfitMessage


def main(url: str, path: Path) -> None:
    """Work until killed."""

    def refuse(refusal: UnfitMessage) -> None:
        raise AssertionError(refusal)

    def hang(*ids: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, "".join(f"{each}\n" for each in ids).encode())
        os.close(descriptor)
        threading.Event().wait(60)

    broker = BatchBroker(url=url, on_refused=refuse, heartbeat_seconds=1, batch_size=64)
    dramatiq.actor(actor_name=ACTOR, queue_name=QUEUE, broker=broker)(hang)
    dramatiq.Worker(broker, worker_threads=1).start()
    threading.Event().wait(60)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
