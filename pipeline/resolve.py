"""Unknown outcomes: asks again until the provider's answer is known.

On a queue of its own, away from healthy payments.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, text

from models.states import CheckoutState
from pipeline.chain import CHAIN, next_phase
from pipeline.database import transaction
from pipeline.runner import Runner
from pipeline.unwind import Unwinder

WHERE: Final = text("SELECT id, state, phase FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[]))")


def resolve(database: Engine, runner: Runner, unwinder: Unwinder, ids: Sequence[UUID]) -> None:
    """Hand each checkout to what works on it now: its phase, or the unwind. They check again under the row's lock."""
    forward: dict[int, list[UUID]] = defaultdict(list)
    back: list[UUID] = []
    with transaction(database) as connection:
        for row in connection.execute(WHERE, {"ids": list(ids)}):
            if row.state == CheckoutState.RUNNING and row.phase < len(CHAIN):
                forward[row.phase].append(row.id)
            else:
                back.append(row.id)
    for phase, group in forward.items():
        runner.run(next_phase(phase), group)
    if back:
        unwinder.run(back)
