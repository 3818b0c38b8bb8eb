"""DBOS: one workflow a checkout, its seven phases as steps (`steps`) or as transactional steps (`tx`).

No queue: each process runs its share on eight threads, which spares it the queue's own writes.
"""

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

from dbos import DBOS, SetWorkflowID, SQLAlchemyDatasource
from redis import Redis

from pipeline.saga import get_chain
from pipeline.settings import Settings, read_settings
from scripts.benchmarks.peers.work import GO, THREADS, HandWork, read_share


def name_commands(kind: str) -> dict[str, str]:
    """Return the two processes for steps of this kind."""
    return {f"dbos_{n}": f"env PEER_NUMBER={n} python -m scripts.benchmarks.peers.dbos_steps {kind}" for n in (1, 2)}


STEPS: Final = name_commands("steps")
TRANSACTIONS: Final = name_commands("tx")


def send(settings: Settings, ids: Sequence[UUID]) -> None:
    """Signal the processes to begin: each reads its share."""
    del ids
    with Redis.from_url(settings.redis_url.get_secret_value()) as client:
        client.set(GO, 1)


def main(kind: str) -> None:
    """Recover the workflows under way, run the rest, then wait for a signal."""
    settings = read_settings()
    work = HandWork(settings)
    url = settings.database_url.get_secret_value().replace("postgresql://", "postgresql+psycopg://")
    DBOS(
        config={
            "name": "peer",
            "system_database_url": url,
            "executor_id": f"peer-{os.environ['PEER_NUMBER']}",
            "application_version": "1",
            "sys_db_pool_size": 2 * THREADS,
            "log_level": "WARNING",
        }
    )
    source = SQLAlchemyDatasource.create(url, engine_kwargs={"pool_size": THREADS}) if kind == "tx" else None

    @DBOS.step()
    def step(number: int, checkout_id: str) -> None:
        work.run(number, UUID(checkout_id))

    def transact(number: int, checkout_id: str) -> None:
        if source is not None:
            work.step(source.sql_session().connection(), number, UUID(checkout_id))

    @DBOS.workflow()
    def check_out(checkout_id: str) -> None:
        for phase in get_chain():
            if source is None:
                step(phase.number, checkout_id)
            else:
                options = {"name": phase.name, "isolation_level": "READ COMMITTED"}
                source.run_tx_step(options, transact, phase.number, checkout_id)

    DBOS.launch()

    def begin(checkout_id: UUID) -> None:
        with SetWorkflowID(f"checkout-{checkout_id}"):
            check_out(str(checkout_id))

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(begin, read_share(work, settings)):
            pass
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1])
