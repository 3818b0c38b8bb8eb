"""procrastinate: a task with its own queue for each phase, in PostgreSQL; each defers the next one."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import procrastinate

from pipeline.saga import get_chain
from pipeline.settings import Settings, read_settings
from scripts.benchmarks.peers.work import THREADS, HandWork

COMMANDS: Final = {f"procrastinate_{n}": "python -m scripts.benchmarks.peers.procrastinate_steps" for n in (1, 2)}


def main() -> None:
    """Serve all queues with eight tasks at once; synchronous ones run in threads."""

    async def serve() -> None:
        app = _connect(read_settings())
        async with app.open_async():
            await app.run_worker_async(concurrency=THREADS, install_signal_handlers=False)

    asyncio.run(serve())


def prepare(settings: Settings) -> None:
    """Create procrastinate's tables."""

    async def apply() -> None:
        app = _connect(settings)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    asyncio.run(apply())


def send(settings: Settings, ids: Sequence[UUID]) -> None:
    """Defer the first step of these checkouts."""

    async def defer() -> None:
        app = _connect(settings)
        async with app.open_async():
            await app.tasks["step_1"].batch_defer_async(*({"checkout_id": str(each)} for each in ids))

    asyncio.run(defer())


def _connect(settings: Settings) -> procrastinate.App:
    url = settings.database_url.get_secret_value()
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=THREADS))
    work = HandWork(settings)
    for phase in get_chain():
        _declare(app, work, phase.number)
    return app


def _declare(app: procrastinate.App, work: HandWork, number: int) -> None:
    def act(checkout_id: str) -> None:
        work.run(number, UUID(checkout_id))
        if number < len(get_chain()):
            app.tasks[f"step_{number + 1}"].defer(checkout_id=checkout_id)

    app.task(act, name=f"step_{number}", queue=f"peer.step_{number}")


if __name__ == "__main__":
    main()
