"""What an object at the provider means beside each state of a checkout."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import pytest

from models.money import Money
from models.states import CheckoutState, PaymentStatus
from pipeline.gateways.gateway import Held
from pipeline.reconciliation.explanations import MEANINGS, sentence
from pipeline.reconciliation.findings import FindingKind, LocalRecord, Remedy
from pipeline.reconciliation.rules import judge, judge_unpaid

ID: Final = UUID(int=7)
AT: Final = datetime(2026, 11, 23, tzinfo=UTC)
TOTAL: Final = Money(500, "EUR")

ENDED: Final = (CheckoutState.FAILED, CheckoutState.CANCELLED, CheckoutState.EXPIRED)
RESTING: Final = (*ENDED, CheckoutState.COMPLETED, CheckoutState.NEEDS_REVIEW)
ACTIVE: Final = tuple(state for state in CheckoutState if state not in RESTING)


def make_held(status: str, *, reference: str = "pay_1", currency: str = "EUR", refunded: int | None = None) -> Held:
    captured = 500 if status in ("captured", "refunded") else 0
    given_back = 500 if status == "refunded" else 0
    return Held(
        reference=reference,
        checkout_id=ID,
        status=PaymentStatus(status),
        amount=Money(500, currency),
        captured_minor=captured,
        refunded_minor=given_back if refunded is None else refunded,
        created_at=AT,
    )


def make_local(
    state: CheckoutState,
    status: str = "cancelled",
    *,
    reference: str | None = "pay_1",
    order: Money | None = None,
    review: str | None = None,
) -> LocalRecord:
    return LocalRecord(ID, state, AT, "sandbox", "tok_ok", reference, PaymentStatus(status), TOTAL, order, review)


def find(held: Held, local: LocalRecord | None) -> tuple[str, str | None] | None:
    """Return the finding's kind and its remedy."""
    finding = judge(held, local)
    return None if finding is None else (finding.kind.value, finding.remedy)


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize(
    ("provider", "stored", "found"),
    [
        ("cancelled", "cancelled", None),
        ("refunded", "refunded", None),
        ("captured", "captured", ("charged_without_order", Remedy.RETRIEVE)),
        ("captured", "cancelled", ("charged_without_order", Remedy.RETRIEVE)),
        ("captured", "refunded", ("charged_without_order", Remedy.RETRIEVE)),
        ("authorized", "authorized", ("live_authorization", Remedy.RETRIEVE)),
        ("authorized", "cancelled", ("live_authorization", Remedy.RETRIEVE)),
        ("action_required", "action_required", ("live_authorization", Remedy.RETRIEVE)),
        ("refunded", "captured", ("status_differs", Remedy.RETRIEVE)),
        ("cancelled", "authorized", ("status_differs", Remedy.RETRIEVE)),
        ("open", "cancelled", ("status_differs", Remedy.RETRIEVE)),
    ],
)
def test_what_came_to_nothing_has_nothing_at_the_provider(
    state: CheckoutState, provider: str, stored: str, found: tuple[str, str | None] | None
) -> None:
    assert find(make_held(provider), make_local(state, stored)) == found


@pytest.mark.parametrize(
    ("held", "stored", "found"),
    [
        (make_held("captured"), "captured", None),
        (make_held("captured"), "authorized", ("status_differs", None)),
        (make_held("captured", refunded=1), "captured", ("amount_differs", None)),
        (make_held("captured", currency="USD"), "captured", ("amount_differs", None)),
        (make_held("refunded"), "captured", ("order_without_charge", None)),
        (make_held("authorized"), "captured", ("order_without_charge", None)),
        (make_held("cancelled"), "cancelled", ("order_without_charge", None)),
        (make_held("open"), "open", ("order_without_charge", None)),
    ],
)
def test_a_placed_order_has_just_its_total_at_the_provider(
    held: Held, stored: str, found: tuple[str, str | None] | None
) -> None:
    assert find(held, make_local(CheckoutState.COMPLETED, stored, order=TOTAL)) == found


@pytest.mark.parametrize(
    ("provider", "stored", "found"),
    [
        ("captured", "authorized", ("charged_without_order", None)),
        ("authorized", "authorized", ("live_authorization", None)),
        ("cancelled", "authorized", None),
        ("open", "open", None),
    ],
)
def test_money_of_a_checkout_in_review_is_reported_and_has_no_rule(
    provider: str, stored: str, found: tuple[str, str | None] | None
) -> None:
    local = make_local(CheckoutState.NEEDS_REVIEW, stored)
    assert find(make_held(provider), local) == found
    finding = judge(make_held(provider), local)
    if finding is not None:
        assert sentence(finding).endswith("settle it at the provider, then retry the checkout.")


@pytest.mark.parametrize("state", ACTIVE)
@pytest.mark.parametrize("provider", ["open", "action_required", "authorized", "captured", "cancelled", "refunded"])
@pytest.mark.parametrize("reference", ["pay_1", "pay_2", None])
def test_an_active_checkout_is_not_judged(state: CheckoutState, provider: str, reference: str | None) -> None:
    assert find(make_held(provider), make_local(state, "open", reference=reference)) is None


@pytest.mark.parametrize("state", RESTING)
@pytest.mark.parametrize("own", ["pay_2", None])
@pytest.mark.parametrize(
    ("provider", "is_live"),
    [
        ("open", True),
        ("action_required", True),
        ("authorized", True),
        ("captured", True),
        ("cancelled", False),
        ("refunded", False),
    ],
)
def test_another_object_is_orphaned_as_long_as_it_is_live(
    state: CheckoutState, own: str | None, provider: str, *, is_live: bool
) -> None:
    remedy = None if state is CheckoutState.NEEDS_REVIEW else Remedy.VOID_OR_REFUND
    assert find(make_held(provider), make_local(state, reference=own)) == (
        ("orphaned_payment", remedy) if is_live else None
    )


def test_an_object_with_an_unknown_checkout_is_a_note_and_without_one_nothing() -> None:
    finding = judge(make_held("captured"), None)
    assert finding is not None
    assert (finding.kind, finding.checkout_id, finding.is_note) == (FindingKind.UNKNOWN_CHECKOUT, ID, True)
    assert (finding.remedy, finding.due, finding.kept) == (None, None, TOTAL)
    anonymous = Held("pay_1", None, PaymentStatus.CAPTURED, TOTAL, 500, 0, AT)
    assert judge(anonymous, None) is None


@pytest.mark.parametrize(
    ("order", "is_found"), [(TOTAL, True), (Money(0, "EUR"), False), (None, False)], ids=["paid", "free", "no-order"]
)
def test_an_order_that_costs_something_needs_an_object(order: Money | None, *, is_found: bool) -> None:
    finding = judge_unpaid(make_local(CheckoutState.COMPLETED, "new", reference=None, order=order))
    assert (finding is not None and finding.kind is FindingKind.ORDER_WITHOUT_CHARGE) is is_found


def test_the_rule_does_not_interfere_with_a_review() -> None:
    review = "5.00 EUR could not be refunded (lost): refund it at the provider, then retry."
    local = make_local(CheckoutState.FAILED, "captured", review=review)
    finding = judge(make_held("captured"), local)
    assert finding is not None
    assert (finding.kind, finding.remedy) == (FindingKind.CHARGED_WITHOUT_ORDER, None)
    assert sentence(finding) == f"The provider has kept 5.00 EUR; the checkout is failed and has no order. {review}"
    # Once it is settled, the stored status is updated.
    assert find(make_held("refunded"), local) == ("status_differs", Remedy.RETRIEVE)


def test_every_kind_has_its_meaning() -> None:
    assert set(MEANINGS) == set(FindingKind)
