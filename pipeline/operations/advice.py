"""What an operator should know of a checkout, or do about it now: a sentence, and the command that helps."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

from models.states import ACTIVE, CheckoutState
from pipeline.audit.report import bound_seconds
from pipeline.operations.checkout_detail import Dossier
from pipeline.saga.forward import queue_of
from pipeline.settings import Settings

_RELEASABLE: Final = ACTIVE - {CheckoutState.UNWINDING, CheckoutState.NEEDS_REVIEW}


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice."""

    sentence: str
    command: str | None = None


def can_release(dossier: Dossier) -> bool:
    """Whether an operator may release it: it is on its way, and its payment is not being taken."""
    return dossier.status.state in _RELEASABLE and dossier.standing["pivot_at"] is None


def can_retry(dossier: Dossier) -> bool:
    """Whether it waits for a person, or money of it does."""
    return dossier.status.state is CheckoutState.NEEDS_REVIEW or dossier.status.review is not None


def advise(dossier: Dossier, settings: Settings) -> list[Advice]:
    """Return what there is to know and to do."""
    status, id_ = dossier.status, dossier.status.checkout_id
    advice: list[Advice] = []
    match status.state:
        case CheckoutState.RUNNING | CheckoutState.UNWINDING:
            advice.append(_advise_working(dossier, settings))
        case CheckoutState.AWAITING_PAYMENT:
            until = _tell(status.expires_at)
            advice.append(
                Advice(
                    f"It waits to be paid, and holds its stock until {until}; release it to free the stock now.",
                    _release(dossier),
                )
            )
        case CheckoutState.ACTION_REQUIRED:
            advice.append(
                Advice(
                    "The buyer must act at the bank; the provider's webhook, or the buyer, brings it on.",
                    _release(dossier),
                )
            )
        case CheckoutState.NEEDS_REVIEW:
            why = "" if status.review is None else f" {status.review.message}"
            advice.append(
                Advice(
                    f"A person must settle this, then send it on.{why}", f"python scripts/retry.py {id_} --reason TEXT"
                )
            )
        case CheckoutState.COMPLETED:
            advice.append(Advice(f"It is order {status.order_number}: nothing is left to do."))
        case CheckoutState.FAILED | CheckoutState.CANCELLED | CheckoutState.EXPIRED:
            why = "" if status.failure is None else f" {status.failure.message}"
            advice.append(Advice(f"It has ended, and everything is undone.{why}"))
        case _:
            assert_never(status.state)
    if status.review is not None and status.state is not CheckoutState.NEEDS_REVIEW:
        command = f"python scripts/retry.py {id_} --reason TEXT"
        advice.append(Advice(f"Money of it could not be given back: {status.review.message}", command))
    if dossier.standing["pivot_at"] is not None and status.state is CheckoutState.RUNNING:
        advice.append(Advice("Its payment is being taken: it cannot be released any more, it is finished forward."))
    return advice


def describe(dossier: Dossier, advice: Sequence[Advice]) -> dict[str, Any]:
    """Return a dossier with its advice as one object for JSON."""
    return {
        "checkout": asdict(dossier.status),
        "standing": dossier.standing,
        **{section.name: section.records for section in dossier.sections},
        "advice": [asdict(each) for each in advice],
    }


def _advise_working(dossier: Dossier, settings: Settings) -> Advice:
    status, standing = dossier.status, dossier.standing
    queue = queue_of(status.state, status.phases_completed or 0)
    due_at = standing["due_at"]
    if due_at is not None and standing["now"] - due_at > timedelta(seconds=bound_seconds(settings)):
        return Advice(
            f"It is overdue: the worker of {queue} does not run, or its messages are not delivered.",
            "python scripts/monitor.py",
        )
    when = "" if due_at is None else f"; the sweep looks after it at {_tell(due_at)}"
    reason = "" if standing["last_error"] is None else f" Last: {standing['last_error']}."
    return Advice(f"It is with {queue}{when}.{reason}", "python scripts/monitor.py --watch")


def _release(dossier: Dossier) -> str:
    return f"python scripts/release.py {dossier.status.checkout_id} --reason TEXT"


def _tell(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
