"""The fields of the matrix, and how each must end."""

from dataclasses import dataclass
from itertools import product
from typing import Final

from pipeline.gateways.sandbox.invariants import BankTotals
from tests.integration.payments.stage import PAID, RETURNED, STOCK
from tests.support.workbench import NOTHING

VERBS: Final = ("open", "authorize", "capture", "void", "refund")
FAULTS: Final = ("ok", "decline", "timeout_before", "timeout_after", "crash", "500", "malformed", "slow")
WAYS: Final = ("first", "retry", "webhook")

#: The word that makes the sandbox do it; the others are done by the spy, or need none.
WORDS: Final = {
    "decline": "declined",
    "timeout_before": "timeout_before",
    "timeout_after": "timeout_after",
    "500": "error",
    "malformed": "malformed",
    "slow": "slow",
}
#: Their effect is not known at first.
UNHEARD: Final = frozenset({"timeout_before", "timeout_after", "500", "malformed"})
#: What we call a void is a cancellation at the gateway.
AT_GATEWAY: Final = {"void": "cancel"}


@dataclass(frozen=True)
class Case:
    """One field of the matrix."""

    verb: str
    fault: str
    way: str

    @property
    def called(self) -> str:
        """Name the verb as the gateway does."""
        return AT_GATEWAY.get(self.verb, self.verb)

    @property
    def token(self) -> str:
        """Return the token that makes the call go wrong in this way."""
        word = WORDS.get(self.fault)
        return "tok_ok" if word is None else f"tok_{self.called}_{word}"

    def __str__(self) -> str:
        """Name it in a test's id."""
        return f"{self.verb}-{self.fault}-{self.way}"


@dataclass(frozen=True)
class End:
    """How it must end: the checkout, its orders, the bank's totals and its ledger, and stock (on hand, reserved)."""

    state: str
    orders: tuple[str, ...]
    totals: BankTotals
    ledger: tuple[str, ...]
    stock: tuple[int, int] = (STOCK, 0)


COMPLETED: Final = End("completed", ("placed",), PAID, ("authorize", "capture"), (STOCK - 2, 0))
REFUSED: Final = End("failed", (), NOTHING, ())
WAITING: Final = End("awaiting_payment", (), NOTHING, (), (STOCK, 2))
NOT_TAKEN: Final = End("failed", ("cancelled",), NOTHING, ("authorize", "cancel"))
VOIDED: Final = End("cancelled", ("cancelled",), NOTHING, ("authorize", "cancel"))
REFUNDED: Final = End("failed", ("cancelled",), RETURNED, ("authorize", "capture", "refund"))


def find_end(case: Case) -> End:
    """Return how this case must end."""
    match case:
        case Case("void"):
            return VOIDED
        case Case("refund"):
            return REFUNDED
        case Case("capture", "decline"):
            return NOT_TAKEN
        case Case("authorize", "decline", "retry"):
            return WAITING
        case Case(_, "decline"):
            return REFUSED
        case _:
            return COMPLETED


CASES: Final = [Case(*each) for each in product(VERBS, FAULTS, WAYS)]
