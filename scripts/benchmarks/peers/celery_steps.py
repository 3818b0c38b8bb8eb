"""Celery: a chain of seven tasks, each on its own queue, acknowledged late, without results."""

import sys
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from celery import Celery, chain
from sqlalchemy import make_url

from pipeline.saga import get_chain
from pipeline.settings import Settings, read_settings
from scripts.benchmarks.peers.work import THREADS, HandWork

COMMANDS: Final = {f"celery_{number}": f"python -m scripts.benchmarks.peers.celery_steps {number}" for number in (1, 2)}


def main(number: str) -> None:
    """Serve all queues with eight threads, without the options that only watch other workers."""
    queues = ",".join(f"peer.step_{phase.number}" for phase in get_chain())
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "warning"]
    app = _connect(read_settings())
    app.worker_main(["worker", "-P", "threads", "-c", str(THREADS), "-Q", queues, "-n", f"peer{number}@%h", *options])


def send(settings: Settings, ids: Sequence[UUID]) -> None:
    """Enqueue these checkouts."""
    app = _connect(settings)
    tasks = [app.tasks[f"step_{phase.number}"] for phase in get_chain()]
    for checkout_id in ids:
        chain(*(task.si(str(checkout_id)) for task in tasks)).apply_async()
    app.close()


def _connect(settings: Settings) -> Any:
    url = make_url(settings.redis_url.get_secret_value())
    if "db" in url.query:  # kombu reads the number of a database from the path only
        url = url.set(database=str(url.query["db"])).difference_update_query(["db"])
    app = Celery("peer", broker=url.render_as_string(hide_password=False))
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
    )
    work = HandWork(settings)
    for phase in get_chain():
        _declare(app, work, phase.number)
    return app


def _declare(app: Any, work: HandWork, number: int) -> None:
    def act(checkout_id: str) -> None:
        work.run(number, UUID(checkout_id))

    app.task(act, name=f"step_{number}", queue=f"peer.step_{number}")


if __name__ == "__main__":
    main(sys.argv[1])
