"""The buyer at the bank's page: pending, approved, refused, and too late."""

import pytest

from pipeline.gateways.conformance.purchase import AUTHORIZED, CANCELLED, CAPTURED, OPEN, PENDING, Purchase, need
from pipeline.gateways.conformance.subject import Buyer, Subject
from pipeline.gateways.gateway import ActionRequired, Declined, Succeeded, Verb


@pytest.fixture
def buyer(subject: Subject) -> Buyer:
    """The buyer, if the subject has one."""
    return need(subject.act_as_buyer, "act_as_buyer")


def test_an_action_says_what_the_storefront_needs(purchase: Purchase) -> None:
    """A page to send the buyer to, or a secret for the provider's library; `retrieve` returns it again."""
    action = need(purchase.subject.tokens.action, "tokens.action")
    call = purchase.bring_to(OPEN).call(token=action)

    answer = purchase.insist(Verb.AUTHORIZE, call)

    assert isinstance(answer, ActionRequired)
    assert answer.reference == purchase.reference
    assert answer.action["type"] in {"redirect", "client_secret"}
    assert answer.action["url" if answer.action["type"] == "redirect" else "client_secret"]
    assert answer.window_seconds is None or answer.window_seconds > 0
    assert purchase.retrieve() == answer
    purchase.assert_stands(PENDING)


def test_an_approval_authorises(purchase: Purchase, buyer: Buyer) -> None:
    """After the buyer's approval the object is authorised without another call, and can be captured."""
    purchase.bring_to(PENDING)

    buyer(purchase.reference or "", approve=True)

    purchase.assert_stands(AUTHORIZED)
    purchase.insist(Verb.CAPTURE)
    purchase.assert_stands(CAPTURED)


def test_a_refusal_is_a_decline_until_the_next_card(purchase: Purchase, buyer: Buyer) -> None:
    """After the buyer's refusal `retrieve` is declined; another card with a new key is authorised."""
    purchase.bring_to(PENDING)

    buyer(purchase.reference or "", approve=False)

    assert isinstance(purchase.retrieve(), Declined)
    assert purchase.movements() == (0, 0)
    purchase.insist(Verb.AUTHORIZE)
    purchase.assert_stands(AUTHORIZED)


def test_an_approval_after_the_cancel_authorises_nothing(purchase: Purchase, buyer: Buyer) -> None:
    """The checkout has ended while the buyer was at the bank: nothing is authorised on the card."""
    purchase.bring_to(PENDING)
    assert purchase.insist(Verb.CANCEL) == Succeeded(purchase.reference or "", CANCELLED)

    buyer(purchase.reference or "", approve=True)

    purchase.assert_stands(CANCELLED)
    assert isinstance(purchase.insist(Verb.CAPTURE), Declined)
    purchase.assert_stands(CANCELLED)
