"""An eighth phase that exists in tests alone: it checks checkouts for fraud, and says no to those of a large total."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected
from pipeline.errors import Code
from pipeline.saga.chain import CHAIN, Phase, TransactionPhase, link
from pipeline.settings import Settings

NAME: Final = "fraud_check"
#: From this total on, in minor units, a checkout is refused.
REFUSED_FROM: Final = 1000

TOTALS: Final = text("SELECT checkout_id, total_minor FROM price_locks WHERE checkout_id = ANY(CAST(:ids AS uuid[]))")


@dataclass
class FraudCheck:
    """The phase, and what it was called for."""

    done: list[UUID] = field(default_factory=list)
    undone: list[UUID] = field(default_factory=list)

    def do(
        self, connection: Connection, batch: Sequence[LockedCheckout], settings: Settings
    ) -> Mapping[UUID, PhaseResult]:
        """Refuse large totals."""
        del settings
        self.done += [each.id for each in batch]
        totals = connection.execute(TOTALS, {"ids": [each.id for each in batch]})
        return {row.checkout_id: judge(row.total_minor) for row in totals}

    def undo(self, connection: Connection, batch: Sequence[LockedCheckout]) -> None:
        """Note for whom it was undone."""
        del connection
        self.undone += [each.id for each in batch]


def judge(total_minor: int) -> PhaseResult:
    """Say yes or no to one total."""
    return Rejected(Code.TOTAL_TOO_LARGE) if total_minor >= REFUSED_FROM else Done()


def insert_phase(monkeypatch: pytest.MonkeyPatch, after: str) -> FraudCheck:
    """Put the phase into the engine's chain, behind another one: the one list is all that changes."""
    check = FraudCheck()
    place = next(phase.number for phase in CHAIN if phase.name == after)
    chain = link(*CHAIN[:place], Phase(NAME, TransactionPhase(check.do, check.undo)), *CHAIN[place:])
    monkeypatch.setattr("pipeline.saga.chain.CHAIN", chain)
    return check
