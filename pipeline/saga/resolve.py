"""Unknown outcomes, and polls of what has ended: asks until the provider's answer is known.

On a queue of its own, away from healthy payments.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text

from models.states import ENDINGS, CheckoutState
from pipeline.database import TransactionRunner
from pipeline.payments.payment import LIVE
from pipeline.saga.chain import get_chain, next_phase
from pipeline.saga.payment_poller import PaymentPoller
from pipeline.saga.runner import Runner
from pipeline.saga.unwind import Unwinder

WHERE: Final = text("""
    SELECT c.id, c.state, c.phase, coalesce(p.status, 'new') AS payment
    FROM checkouts c LEFT JOIN payments p ON p.checkout_id = c.id WHERE c.id = ANY(CAST(:ids AS uuid[]))
""")


def resolve(
    transactions: TransactionRunner,
    runner: Runner,
    unwinder: Unwinder,
    poller: PaymentPoller,
    ids: Sequence[UUID],
) -> None:
    """Hand each checkout to what works on it now. They check again under the row's lock.

    Its phase, or the unwind, also for what is live after the end; what has ended otherwise is looked at.
    """
    forward: dict[int, list[UUID]] = defaultdict(list)
    back: list[UUID] = []
    ended: list[UUID] = []
    for row in transactions.read(lambda connection: connection.execute(WHERE, {"ids": list(ids)}).all()):
        if row.state == CheckoutState.RUNNING and row.phase < len(get_chain()):
            forward[row.phase].append(row.id)
        elif row.state in ENDINGS and row.payment not in LIVE:
            ended.append(row.id)
        else:
            back.append(row.id)
    for phase, group in forward.items():
        runner.run(next_phase(phase), group)
    if back:
        unwinder.run(back)
    if ended:
        poller.run(ended)
