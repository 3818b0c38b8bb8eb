"""Unknown outcomes, and polls after the end: retrieves and repeats until the provider's answer is known.

It has its own queue, so that healthy payments do not wait for it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
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
    *,
    read_charges: Callable[[Sequence[UUID]], object],
) -> None:
    """Pass each checkout to its next phase, the unwind or the poller, which check it again under its row lock.

    The unwind also works on payments that are live after the end; other ended checkouts are polled. Of completed ones
    `read_charges` reads the refunds and disputes.
    """
    forward: dict[int, list[UUID]] = defaultdict(list)
    back: list[UUID] = []
    ended: list[UUID] = []
    completed: list[UUID] = []
    for row in transactions.read(lambda connection: connection.execute(WHERE, {"ids": list(ids)}).all()):
        if row.state == CheckoutState.RUNNING and row.phase < len(get_chain()):
            forward[row.phase].append(row.id)
        elif row.state in ENDINGS and row.payment not in LIVE:
            ended.append(row.id)
        elif row.state == CheckoutState.COMPLETED:
            completed.append(row.id)
        else:
            back.append(row.id)
    for phase, group in forward.items():
        runner.run(next_phase(phase), group)
    if back:
        unwinder.run(back)
    if ended:
        poller.run(ended)
    if completed:
        read_charges(completed)
