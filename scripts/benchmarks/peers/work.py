"""The seven phases written by hand: for one checkout, in one guarded transaction each.

The statements are the engine's own, so that only the task queue differs. The engine's other work is left out, in favour
of the peers: no intent is written before a call to the bank, and the bank agrees at once, in this process.
"""

import os
import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from redis import Redis
from sqlalchemy import Connection, text

from models.states import CheckoutState, PaymentStatus
from pipeline.checkouts import LockedCheckout
from pipeline.checkouts.events import Happened, execute_with_events, with_events
from pipeline.checkouts.locks import lock_checkouts
from pipeline.database import connect_engine
from pipeline.saga import find_phase, get_chain
from pipeline.saga.chain import TransactionPhase
from pipeline.settings import Settings

#: Threads of each process, and processes of each peer.
THREADS: Final = 8
PROCESSES: Final = 2
#: The Redis key that is set once the checkouts exist.
GO: Final = "peer:go"

ADVANCE: Final = with_events("""
    UPDATE checkouts SET phase = :phase, sent_at = now(), due_at = now() + interval '1 hour', updated_at = now()
    WHERE id = :id
""")
COMPLETE: Final = with_events("""
    UPDATE checkouts
    SET phase = :phase, state = 'completed', due_at = NULL, due_reason = NULL, ended_at = now(), updated_at = now()
    WHERE id = :id
""")
OPERATIONS: Final = text(r"""
    INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, status, fence)
    SELECT l.checkout_id, kind, 1, l.checkout_id || '\:' || kind || '\:1', l.total_minor, 'succeeded', 0
    FROM price_locks l, unnest(CAST(:kinds AS text[])) AS kind WHERE l.checkout_id = :id
""")
PAY: Final = text("""
    UPDATE payments SET status = :status, reference = :reference, updated_at = now() WHERE checkout_id = :id
""")
#: The payment phases: their calls, and the payment's status afterwards. By name, as in code written by hand.
CALLS: Final[Mapping[str, tuple[list[str], PaymentStatus]]] = {
    "payment_authorization": (["open", "authorize"], PaymentStatus.AUTHORIZED),
    "payment_capture": (["capture"], PaymentStatus.CAPTURED),
}


class HandWork:
    """The phases, over a pool with a connection for each thread."""

    def __init__(self, settings: Settings) -> None:
        """Connect at first use."""
        self._settings = settings
        self.database = connect_engine(settings, application_name="peer", pool_size=THREADS, by_key=True)

    def run(self, number: int, checkout_id: UUID) -> None:
        """Run one phase of one checkout in its own transaction; do nothing when another phase is next."""
        with self.database.begin() as connection:
            self.step(connection, number, checkout_id)

    def step(self, connection: Connection, number: int, checkout_id: UUID) -> None:
        """Run one phase in this transaction."""
        [checkout] = lock_checkouts(connection, [checkout_id])
        if checkout.phase != number - 1 or checkout.state is not CheckoutState.RUNNING:
            return
        self._work(connection, number, checkout)
        done = Happened("checkout.phase_completed", [checkout_id], find_phase(number).name)
        if number == len(get_chain()):
            completed = Happened("checkout.completed", [checkout_id])
            execute_with_events(connection, COMPLETE, {"id": checkout_id, "phase": number}, done, completed)
        else:
            execute_with_events(connection, ADVANCE, {"id": checkout_id, "phase": number}, done)

    def _work(self, connection: Connection, number: int, checkout: LockedCheckout) -> None:
        phase = find_phase(number)
        if isinstance(phase.work, TransactionPhase):
            outcomes: Mapping[UUID, Any] = phase.work.do(connection, [checkout], self._settings)
            if (outcome := type(outcomes[checkout.id]).__name__) != "Done":
                raise RuntimeError(f"{phase.name} is {outcome}: these carts can all be sold")
            return
        kinds, status = CALLS[phase.name]
        connection.execute(OPERATIONS, {"id": checkout.id, "kinds": kinds})
        connection.execute(PAY, {"id": checkout.id, "status": status, "reference": f"hand_{checkout.id}"})


def read_share(work: HandWork, settings: Settings) -> list[UUID]:
    """Wait until the checkouts exist; return this process's share, for a peer without a queue."""
    with Redis.from_url(settings.redis_url.get_secret_value()) as client:
        while not client.exists(GO):
            time.sleep(0.05)
    with work.database.connect() as connection:
        ids = connection.execute(text("SELECT id FROM checkouts WHERE ended_at IS NULL ORDER BY id")).scalars().all()
    number = int(os.environ["PEER_NUMBER"])
    return [each for at, each in enumerate(ids) if at % PROCESSES == number - 1]
