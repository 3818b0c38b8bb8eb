"""Advice to an operator about one checkout: a sentence, and the command to run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

from models.states import ACTIVE, CheckoutState
from pipeline.checkouts.conditions import bound_seconds
from pipeline.operations.checkout_detail import CheckoutDetail
from pipeline.operations.commands import CommandLine
from pipeline.saga.forward import queue_of
from pipeline.settings import Settings

_RELEASABLE: Final = ACTIVE - {CheckoutState.UNWINDING, CheckoutState.NEEDS_REVIEW}


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice."""

    sentence: str
    command: str | None = None


def can_release(detail: CheckoutDetail) -> bool:
    """Return whether an operator may release it: it is active, and its payment is not being captured."""
    return detail.status.state in _RELEASABLE and detail.standing["pivot_at"] is None


def can_retry(detail: CheckoutDetail) -> bool:
    """Return whether the checkout or its payment needs review."""
    return detail.status.state is CheckoutState.NEEDS_REVIEW or detail.status.review is not None


def advise(detail: CheckoutDetail, settings: Settings) -> list[Advice]:
    """Return the advice for its state."""
    status, id_ = detail.status, detail.status.checkout_id
    advice: list[Advice] = []
    match status.state:
        case CheckoutState.RUNNING | CheckoutState.UNWINDING:
            advice.append(_advise_working(detail, settings))
        case CheckoutState.AWAITING_PAYMENT:
            until = _format(status.expires_at)
            advice.append(
                Advice(
                    f"It awaits payment and holds its stock until {until}; release it to free the stock now.",
                    _release(detail),
                )
            )
        case CheckoutState.ACTION_REQUIRED:
            advice.append(
                Advice(
                    "The buyer must complete 3-D Secure; it continues when the provider's webhook or the buyer reports"
                    " the result.",
                    _release(detail),
                )
            )
        case CheckoutState.NEEDS_REVIEW:
            why = "" if status.review is None else f" {status.review.message}"
            advice.append(Advice(f"An operator must settle this, then retry it.{why}", CommandLine.RETRY.of(id_)))
        case CheckoutState.COMPLETED:
            advice.append(Advice(f"It is order {status.order_number}: nothing is left to do."))
        case CheckoutState.FAILED | CheckoutState.CANCELLED | CheckoutState.EXPIRED:
            why = "" if status.failure is None else f" {status.failure.message}"
            advice.append(Advice(f"It has ended, and everything is undone.{why}"))
        case _:
            assert_never(status.state)
    if status.review is not None and status.state is not CheckoutState.NEEDS_REVIEW:
        command = CommandLine.RETRY.of(id_)
        advice.append(Advice(f"Its payment could not be voided or refunded: {status.review.message}", command))
    if detail.standing["pivot_at"] is not None and status.state is CheckoutState.RUNNING:
        advice.append(Advice("Its payment is being captured: it cannot be released any more, and it completes."))
    return advice


def describe(detail: CheckoutDetail, advice: Sequence[Advice]) -> dict[str, Any]:
    """Return a detail with its advice as one object for JSON."""
    return {
        "checkout": asdict(detail.status),
        "standing": detail.standing,
        **{section.name: section.records for section in detail.sections},
        "advice": [asdict(each) for each in advice],
    }


def _advise_working(detail: CheckoutDetail, settings: Settings) -> Advice:
    status, standing = detail.status, detail.standing
    queue = queue_of(status.state, status.phases_completed or 0)
    due_at = standing["due_at"]
    if due_at is not None and standing["now"] - due_at > timedelta(seconds=bound_seconds(settings)):
        return Advice(
            f"It is overdue: the worker of {queue} does not run, or its messages are not delivered.",
            CommandLine.MONITOR,
        )
    when = "" if due_at is None else f"; the sweep checks it at {_format(due_at)}"
    reason = "" if standing["last_error"] is None else f" Last: {standing['last_error']}."
    return Advice(f"It is in {queue}{when}.{reason}", CommandLine.MONITOR_WATCH)


def _release(detail: CheckoutDetail) -> str:
    return CommandLine.RELEASE.of(detail.status.checkout_id)


def _format(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
