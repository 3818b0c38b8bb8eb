"""The table of states in docs/gateways.md is what a gateway does that passes the suite: the paper bank does."""

import re
from typing import Final
from uuid import uuid4

import pytest

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways import gateway as contract
from pipeline.gateways.gateway import Answer, Call, Declined, Misconfigured, Succeeded, Verb
from tests.contract.paper_bank import PaperBank
from tests.support.pages import ROOT

SECTION: Final = (ROOT / "docs" / "gateways.md").read_text().partition("\n## States\n")[2].partition("\n## ")[0]
TABLE: Final = [[cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if "|" in line]
VERBS: Final = [Verb(cell.strip("`")) for cell in TABLE[0][1:]]
ROWS: Final = {row[0]: row[1:] for row in TABLE[2:]}

#: How the paper bank is brought to a state. It has no buyer who refuses, and its authorisations do not expire.
WAYS: Final = {
    "open": [Verb.OPEN],
    "authorized": [Verb.OPEN, Verb.AUTHORIZE],
    "captured": [Verb.OPEN, Verb.AUTHORIZE, Verb.CAPTURE],
    "cancelled": [Verb.OPEN, Verb.AUTHORIZE, Verb.CANCEL],
    "refunded": [Verb.OPEN, Verb.AUTHORIZE, Verb.CAPTURE, Verb.REFUND],
    "not there": [],
}


def ask(bank: PaperBank, verb: Verb, reference: str | None, token: str = "good") -> Answer:
    """Call a verb with a new key."""
    call = Call(uuid4(), str(uuid4()), Money(1250, "EUR"), token, reference)
    answer: Answer = getattr(bank, verb)(call)
    return answer


def name_answer(answer: Answer) -> str:
    """Return what the table writes for it; a decline with a code that has a meaning has the code's name."""
    match answer:
        case Succeeded(_, status):
            return status.name
        case Declined(code):
            names = [name for name in ("ALREADY_CAPTURED", "PAYMENT_CANCELLED") if getattr(contract, name) == code]
            return f"Declined({names[0]})" if names else "Declined"
        case Misconfigured():
            return "Misconfigured"
        case other:
            return type(other).__name__


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_cell_says_what_the_paper_bank_does(state: str, verb: Verb) -> None:
    bank, reference = PaperBank(), "sheet_0"
    for step in WAYS[state]:
        answer = ask(bank, step, reference)
        assert isinstance(answer, Succeeded)
        reference = answer.reference
    cell = ROWS[state][VERBS.index(verb)]
    allowed = re.findall(r"`(\w+(?:\(\w+\))?)`", cell.partition(", as")[0])

    found = name_answer(ask(bank, verb, reference))

    # Any code is right where the cell names none.
    assert not cell or found in allowed or found.partition("(")[0] in allowed


def test_the_table_has_every_verb_and_every_status() -> None:
    assert [Verb.OPEN, *VERBS] == list(Verb)
    named = set(re.findall(r"`([A-Z_]{4,})`", SECTION))
    # What waits for its buyer has a result of its own.
    assert named == {status.name for status in PaymentStatus} - {"NEW", "ACTION_REQUIRED"}
    assert set(WAYS) < set(ROWS)
    assert sum(cell == "" for cells in ROWS.values() for cell in cells) == 6
