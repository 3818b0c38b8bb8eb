"""What each finding means and what to do, in plain words."""

from typing import Final, assert_never

from models.states import CheckoutState
from pipeline.reconciliation.findings import Finding, FindingKind

MEANINGS: Final = {
    FindingKind.CHARGED_WITHOUT_ORDER: "The provider has kept money, and there is no order.",
    FindingKind.ORDER_WITHOUT_CHARGE: "An order is placed, and the provider has not kept its money.",
    FindingKind.AMOUNT_DIFFERS: "The provider has kept another amount than the order's total.",
    FindingKind.LIVE_AUTHORIZATION: "Money is still authorised for a checkout that came to nothing.",
    FindingKind.STRAY_OBJECT: "Another payment object than the checkout's own is live at the provider.",
    FindingKind.MISSING_AT_PROVIDER: "The provider does not have the object that our books name.",
    FindingKind.BOOKS_BEHIND: "The provider's status is another than the one in our books; no money is at stake.",
    FindingKind.STRANGER: "An object names a checkout that is not in this database. A note; never touched.",
}


def sentence(finding: Finding) -> str:
    """Say what it means and what to do."""
    return f"{_describe(finding)} {_advise(finding)}"


def _describe(finding: Finding) -> str:
    ours, held = finding.ours, finding.held
    state = "is unknown" if ours is None else f"is {ours.state}"
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
        case FindingKind.STRAY_OBJECT:
            own = "has no object of its own" if ours is None or ours.reference is None else f"has {ours.reference}"
            over = None if held is None else held.amount
            return f"This object over {over} is {there}; the checkout {state} and {own}."
        case FindingKind.MISSING_AT_PROVIDER:
            return f"The provider does not have this object; the checkout {state}."
        case FindingKind.BOOKS_BEHIND:
            books = None if ours is None else ours.status
            return f"Our books say {books}, the provider says {there}; no money is at stake."
        case FindingKind.STRANGER:
            return "This object names a checkout that is not in this database."
        case _:
            assert_never(finding.kind)


def _advise(finding: Finding) -> str:
    ours = finding.ours
    if ours is not None and ours.state is CheckoutState.NEEDS_REVIEW:
        return "The checkout waits for a person: settle it at the provider, then retry the checkout."
    if ours is not None and ours.review is not None and finding.remedy is None:
        return ours.review
    match finding.kind:
        case FindingKind.CHARGED_WITHOUT_ORDER:
            return "--repair gives it back."
        case FindingKind.ORDER_WITHOUT_CHARGE:
            return "Ask the buyer to pay again, or do not deliver."
        case FindingKind.AMOUNT_DIFFERS:
            return "Settle the difference with the buyer, at the provider."
        case FindingKind.LIVE_AUTHORIZATION:
            return "--repair lets it go."
        case FindingKind.STRAY_OBJECT:
            return "--repair cancels it, or refunds what it took."
        case FindingKind.MISSING_AT_PROVIDER:
            return "Check that the keys are of the account it was made with; if they are, ask the provider."
        case FindingKind.BOOKS_BEHIND:
            return "--repair writes it down." if finding.remedy is not None else "The order is paid: report it."
        case FindingKind.STRANGER:
            return "Another database may use the same account: nothing is done."
        case _:
            assert_never(finding.kind)
