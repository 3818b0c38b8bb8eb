"""The sentence for each finding: its meaning and the advice."""

from typing import Final

from models.states import CheckoutState
from pipeline.reconciliation.findings import ChargeDifference, Finding, FindingKind

MEANINGS: Final = {
    FindingKind.CHARGED_WITHOUT_ORDER: "The provider has kept money, and there is no order.",
    FindingKind.ORDER_WITHOUT_CHARGE: "An order is placed, and the provider has not kept its money.",
    FindingKind.AMOUNT_DIFFERS: "The provider has kept another amount than the order's total.",
    FindingKind.LIVE_AUTHORIZATION: "Money is still authorised for a checkout that ended without an order.",
    FindingKind.ORPHANED_PAYMENT: "Another payment object than the checkout's own is live at the provider.",
    FindingKind.MISSING_AT_PROVIDER: "The provider does not have the object of the stored payment.",
    FindingKind.STATUS_DIFFERS: "The provider's status differs from the stored one; no money is at stake.",
    FindingKind.REFUND_NOT_RECORDED: "The provider has made a refund that no change of the order records.",
    FindingKind.REFUND_MISSING: "A refund is recorded as made, and at the provider it failed or does not exist.",
    FindingKind.REFUND_DIFFERS: "A refund has another amount or state at the provider than in the database.",
    FindingKind.DISPUTE_NOT_RECORDED: "The provider's state of a dispute is not recorded.",
    FindingKind.UNKNOWN_CHECKOUT: "An object names a checkout that is not in this database. A note; never touched.",
}


def sentence(finding: Finding) -> str:
    """Return the meaning of a finding and the advice."""
    return f"{_describe(finding)} {_advise(finding)}"


def _describe(finding: Finding) -> str:
    if finding.difference is not None:
        return _describe_difference(finding.kind, finding.difference)
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
        case _:
            return "This object names a checkout that is not in this database."


def _describe_difference(kind: FindingKind, difference: ChargeDifference) -> str:
    stored, shown = difference.stored or "nothing", difference.shown or "not there"
    if kind is FindingKind.REFUND_NOT_RECORDED:
        return f"The provider has a refund ({shown}) that is not recorded."
    what = "dispute" if kind is FindingKind.DISPUTE_NOT_RECORDED else "refund"
    return f"What is recorded of a {what} is: {stored}; at the provider it is: {shown}."


#: What a person does, where nothing else is to be said.
ADVICE: Final = {
    FindingKind.CHARGED_WITHOUT_ORDER: "--repair refunds it.",
    FindingKind.ORDER_WITHOUT_CHARGE: "Ask the buyer to pay again, or do not deliver.",
    FindingKind.AMOUNT_DIFFERS: "Settle the difference with the buyer, at the provider.",
    FindingKind.LIVE_AUTHORIZATION: "--repair voids it.",
    FindingKind.ORPHANED_PAYMENT: "--repair voids it, or refunds what it captured.",
    FindingKind.MISSING_AT_PROVIDER: (
        "Check that the API keys are of the account it was made with; if they are, ask the provider."
    ),
    FindingKind.STATUS_DIFFERS: "The order is paid: report it.",
    FindingKind.REFUND_NOT_RECORDED: "--repair records it as a change of the order.",
    FindingKind.REFUND_MISSING: "Ask the provider. If the buyer has no money, refund it there: that is recorded.",
    FindingKind.REFUND_DIFFERS: "Settle the difference with the buyer, at the provider.",
    FindingKind.DISPUTE_NOT_RECORDED: "--repair records it.",
    FindingKind.UNKNOWN_CHECKOUT: "Another database may use the same account: nothing is done.",
}


def _advise(finding: Finding) -> str:
    local = finding.local
    if local is not None and local.state is CheckoutState.NEEDS_REVIEW:
        return "The checkout needs review: settle it at the provider, then retry the checkout."
    if local is not None and local.review is not None and finding.remedy is None:
        return local.review
    if finding.remedy is not None and finding.kind is FindingKind.STATUS_DIFFERS:
        return "--repair records it."
    if finding.remedy is not None and finding.kind is FindingKind.REFUND_MISSING:
        return "--repair reopens its change, which then needs review."
    return ADVICE[finding.kind]
