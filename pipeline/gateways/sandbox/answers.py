"""Answers as the JSON in which the bank stores them with their key."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never

from models.states import PaymentStatus
from pipeline.gateways.gateway import ActionRequired, Declined, Misconfigured, Succeeded

#: The answers that the bank stores; Transient and Unknown are never stored, since a repeat may succeed.
Decided = Succeeded | Declined | ActionRequired | Misconfigured


def dump_answer(answer: Decided) -> dict[str, Any]:
    """Return the JSON of an answer."""
    match answer:
        case Succeeded(reference, status, until):
            kept = {"succeeded": status.value, "reference": reference}
            return kept if until is None else kept | {"until": until.isoformat()}
        case Declined(code, message):
            return {"declined": code, "message": message}
        case ActionRequired(reference, action):
            return {"action_required": dict(action), "reference": reference}
        case Misconfigured(error):
            return {"misconfigured": error}
        case _:
            assert_never(answer)


def load_answer(stored: Mapping[str, Any]) -> Decided:
    """Return a stored answer. Raises ValueError for anything that this bank did not write."""
    match stored:
        case {"succeeded": str(status), "reference": str(reference), "until": str(until)}:
            return Succeeded(reference, PaymentStatus(status), datetime.fromisoformat(until))
        case {"succeeded": str(status), "reference": str(reference)}:
            return Succeeded(reference, PaymentStatus(status))
        case {"declined": str(code), "message": str(message)}:
            return Declined(code, message)
        case {"action_required": dict(action), "reference": str(reference)}:
            return ActionRequired(reference, action)
        case {"misconfigured": str(error)}:
            return Misconfigured(error)
        case _:
            raise ValueError(f"not an answer of this bank: {stored!r}")
