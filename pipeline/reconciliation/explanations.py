"""The sentence for each finding: its meaning and the advice."""

from typing import Final, assert_never

from models.states import CheckoutState
from pipeline.reconciliation.findings import Finding, FindingKind

MEANINGS: Final = {
    FindingKind.CHARGED_WITHOUT_ORDER: "The provider has kept money, and there is no order.",
    FindingKind.ORDER_WITHOUT_CHARGE: "An order is placed, and the provider has not kept its money.",
    FindingKind.AMOUNT_DIFFERS: "The provider has kept another amount than the order's total.",
    FindingKind.LIVE_AUTHORIZATION: "Money is still authorised for a checkout that ended without an order.",
    FindingKind.ORPHANED_PAYMENT: "Another payment object than the checkout's own is live at the provider.",
    FindingKind.MISSING_AT_PROVIDER: "The provider does not have the object of the stored payment.",
    FindingKind.STATUS_DIFFERS: "The provider's status differs from the stored one; no money is at stake.",
    FindingKind.UNKNOWN_CHECKOUT: "An object names a checkout that is not in this database. A note; never touched.",
}


def sentence(finding: Finding) -> str:
    """Return the meaning of a finding and the advice."""
    return f"{_describe(finding)} {_advise(finding)}"


def _describe(finding: Finding) -> str:
    local, held = finding.local, finding.held
    state = "is unknown" if local is None else f"is {local.state}"
    there = "not there" if held is None else held.status
    match finding.kind:
        case FindingKind.CHARGED_WITHOUT_ORDER:
            return f"The provider has kept {finding.kept}; the checkout {state} and has no order."
        case FindingKind.ORDER_WITHOUT_CHARGE:
            return f"The order over {finding.due} is placed; its payment at the provider is {there}."
        case FindingKind.AMOUNT_DIFFERS:
            return f"The provider has kept {finding.kept}; the order is over {finding.due}."
        case FindingKind.LIVE_AUTHORIZATION:
            return f"{finding.authorized} of the buyer's is {there}; the checkout {state}."
        case FindingKind.ORPHANED_PAYMENT:
            own = "has no object of its own" if local is None or local.reference is None else f"has {local.reference}"
            over = None if held is None else held.amount
            return f"This object over {over} is {there}; the checkout {state} and {own}."
        case FindingKind.MISSING_AT_PROVIDER:
            return f"The provider does not have this object; the checkout {state}."
        case FindingKind.STATUS_DIFFERS:
            stored = None if local is None else local.status
            return f"The stored status is {stored}, the provider's is {there}; no money is at stake."
        case FindingKind.UNKNOWN_CHECKOUT:
            return "This object names a checkout that is not in this database."
        case _:
            assert_never(finding.kind)


def _advise(finding: Finding) -> str:
    local = finding.local
    if local is not None and local.state is CheckoutState.NEEDS_REVIEW:
        return "The checkout needs review: settle it at the provider, then retry the checkout."
    if local is not None and local.review is not None and finding.remedy is None:
        return local.review
    match finding.kind:
        case FindingKind.CHARGED_WITHOUT_ORDER:
            return "--repair refunds it."
        case FindingKind.ORDER_WITHOUT_CHARGE:
            return "Ask the buyer to pay again, or do not deliver."
        case FindingKind.AMOUNT_DIFFERS:
            return "Settle the difference with the buyer, at the provider."
        case FindingKind.LIVE_AUTHORIZATION:
            return "--repair voids it."
        case FindingKind.ORPHANED_PAYMENT:
            return "--repair voids it, or refunds what it captured."
        case FindingKind.MISSING_AT_PROVIDER:
            return "Check that the API keys are of the account it was made with; if they are, ask the provider."
        case FindingKind.STATUS_DIFFERS:
            return "--repair records it." if finding.remedy is not None else "The order is paid: report it."
        case FindingKind.UNKNOWN_CHECKOUT:
            return "Another database may use the same account: nothing is done."
        case _:
            assert_never(finding.kind)
