"""What a token makes the bank do. The package's docstring lists the words."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from pipeline.gateways.charges import ChargeVerb
from pipeline.gateways.gateway import KEYED_VERBS, Verb

PREFIX: Final = "tok_"

#: What a token can make go wrong.
FaultyVerb = Verb | ChargeVerb
FAULTY_VERBS: Final[tuple[FaultyVerb, ...]] = (*KEYED_VERBS, ChargeVerb.REFUND_AMOUNT)


class TokenOutcome(StrEnum):
    """How an authorisation ends."""

    OK = "ok"
    DECLINED = "declined"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    ACTION_REQUIRED = "action_required"


class TokenFault(StrEnum):
    """How a call goes wrong."""

    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    ERROR = "error"
    ERROR_AFTER = "error_after"
    MALFORMED = "malformed"
    SLOW = "slow"
    UNAVAILABLE = "unavailable"
    BROKEN = "broken"
    DECLINED = "declined"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True, slots=True)
class Token:
    """A valid token."""

    outcome: TokenOutcome
    faults: Mapping[FaultyVerb, TokenFault]


OUTCOMES: Final = {f"{PREFIX}{outcome}": outcome for outcome in TokenOutcome}
FAULTS: Final = {f"{PREFIX}{verb}_{fault}": (verb, fault) for verb in FAULTY_VERBS for fault in TokenFault}


@lru_cache(maxsize=1024)
def parse_token(text: str) -> Token | None:
    """Return what the token asks for, or None when it is not one."""
    outcomes: list[TokenOutcome] = []
    faults: dict[FaultyVerb, TokenFault] = {}
    for word in text.split("+"):
        if word in OUTCOMES:
            outcomes.append(OUTCOMES[word])
            continue
        verb, fault = FAULTS.get(word, (None, None))
        if verb is None or fault is None or verb in faults:
            return None
        faults[verb] = fault
    if len(outcomes) > 1:
        return None
    return Token(outcomes[0] if outcomes else TokenOutcome.OK, faults)


def find_fault(verb: FaultyVerb, text: str) -> TokenFault | None:
    """Return the fault that the token asks for on this verb, if any."""
    token = parse_token(text)
    return None if token is None else token.faults.get(verb)
