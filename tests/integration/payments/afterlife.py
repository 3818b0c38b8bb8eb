"""What becomes of payments after the end of their checkouts, and how a test brings it about."""

from typing import Final
from uuid import UUID

from models.states import CheckoutState
from pipeline.gateways.gateway import Answer, Declined
from tests.integration.payments.stage import Stage
from tests.support.harness import OWNER
from tests.support.workbench import RESTING

#: The events of late funds, in the order in which they may come.
LATE_EVENTS: Final = (
    "payment.late_funds",
    "payment.voided_late",
    "payment.refunded_late",
    "payment.needs_review",
    "payment.review_closed",
)


def end_unpaid(stage: Stage, token: str = "tok_action_required") -> tuple[UUID, str]:
    """Cancel a checkout at the bank's page: its object is cancelled, and was never authorised."""
    checkout_id = stage.start(token)
    stage.pump()
    assert stage.works.status(checkout_id).state is CheckoutState.ACTION_REQUIRED
    stage.works.service.cancel(checkout_id, OWNER)
    stage.pump()
    assert stage.works.status(checkout_id).state is CheckoutState.CANCELLED
    return checkout_id, stage.reference(checkout_id)


def end_refunded(stage: Stage, token: str = "tok_ok") -> tuple[UUID, str]:
    """Make a checkout fail whose payment was captured and refunded."""

    def refuse(verb: str, answer: Answer) -> Answer:
        return Declined("do_not_honor") if verb == "capture" else answer

    stage.spy.replace = refuse
    checkout_id = stage.start(token)
    stage.pump()
    stage.spy.replace = None
    assert stage.settle(checkout_id, until=RESTING) == "failed"
    assert stage.shelf.row("SELECT status FROM payments").status == "refunded"
    return checkout_id, stage.reference(checkout_id)


def revive(stage: Stage, reference: str, *kinds: str) -> None:
    """Make the bank authorise, and perhaps capture, a cancelled payment: providers do make mistakes."""
    status, captured = ("captured", True) if "capture" in kinds else ("authorized", False)
    stage.shelf.run(
        "UPDATE sandbox.payments SET status = :status, authorized_minor = amount_minor,"
        " captured_minor = CASE WHEN :captured THEN amount_minor ELSE 0 END WHERE reference = :reference",
        status=status,
        captured=captured,
        reference=reference,
    )
    for kind in kinds:
        _write_entry(stage, reference, kind, 1)


def return_refund(stage: Stage, reference: str) -> None:
    """Let the buyer's bank send a refund back that had been accepted."""
    stage.shelf.run(
        "UPDATE sandbox.payments SET status = 'captured', refunded_minor = 0 WHERE reference = :r", r=reference
    )
    _write_entry(stage, reference, "refund", -1)


def _write_entry(stage: Stage, reference: str, kind: str, sign: int) -> None:
    stage.shelf.run(
        "INSERT INTO sandbox.entries (reference, kind, amount_minor)"
        " SELECT reference, :kind, :sign * amount_minor FROM sandbox.payments WHERE reference = :reference",
        kind=kind,
        sign=sign,
        reference=reference,
    )


def make_look_due(stage: Stage) -> None:
    """Make the next poll due."""
    assert stage.shelf.run("UPDATE checkouts SET due_at = now() WHERE ended_at IS NOT NULL AND due_at IS NOT NULL") == 1


def poll(stage: Stage) -> None:
    """Make the next poll due, and work until nothing is queued."""
    make_look_due(stage)
    assert stage.works.sweep().scheduled == 1
    stage.pump()


def age(stage: Stage, seconds: float) -> None:
    """Let the checkout have ended this long ago, and be due."""
    stage.shelf.run(
        "UPDATE checkouts SET ended_at = now() - make_interval(secs => :s), due_at = now(), due_reason = 'scheduled'",
        s=seconds,
    )


def next_look(stage: Stage) -> float | None:
    """Return in how many seconds the ended checkout is polled again."""
    wait = stage.shelf.row("SELECT extract(epoch FROM due_at - now()) AS wait FROM checkouts").wait
    return None if wait is None else float(wait)


def late_events(stage: Stage, checkout_id: UUID) -> list[str]:
    """Return what happened to the money after the end."""
    return [kind for kind in stage.events(checkout_id) if kind in LATE_EVENTS]


def count_polls(stage: Stage) -> int:
    """Return how often payments were retrieved from the bank."""
    return sum(verb == "retrieve" for verb, _ in stage.spy.calls)
