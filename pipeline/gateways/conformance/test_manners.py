"""An adapter answers, does not raise, and can be closed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import get_args
from uuid import uuid4

import pytest

from models.money import Money
from pipeline.gateways.conformance.purchase import AUTHORIZED, OPEN, STEPS, Purchase
from pipeline.gateways.conformance.subject import Subject
from pipeline.gateways.gateway import KEYED_VERBS, Answer, Call, Declined, Succeeded, Verb

ODD_TOKENS = [" ", "no such token", "\N{CREDIT CARD}", "x" * 255, "a\x00b", "\ud800", "../../v1/refunds", "tok+tok"]
ODD_REFERENCES = ["no such object", "\N{SNOWMAN}", "x" * 5000, "a\x00b", "\ud800", "../../v1/refunds", "a b\r\nc: d"]


@pytest.mark.parametrize("token", ODD_TOKENS, ids=ascii)
@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_no_token_makes_a_verb_raise(purchase: Purchase, verb: Verb, token: str) -> None:
    """The token comes from the buyer unchecked: authorising with an invalid one never succeeds."""
    purchase.bring_to(STEPS[verb][0])

    answer = purchase.ask(verb, purchase.call(token=token))

    assert isinstance(answer, get_args(Answer))
    if verb is Verb.AUTHORIZE:
        assert not isinstance(answer, Succeeded)
        purchase.assert_stands(OPEN)


@pytest.mark.parametrize("reference", ODD_REFERENCES, ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize("verb", [verb for verb in KEYED_VERBS if verb is not Verb.OPEN])
def test_no_reference_makes_a_verb_raise(purchase: Purchase, verb: Verb, reference: str) -> None:
    """An object with an impossible reference does not exist, and nothing happens."""
    purchase.bring_to(AUTHORIZED)
    call = purchase.call(reference=reference)

    assert not isinstance(purchase.ask(verb, call), Succeeded)
    assert not isinstance(purchase.subject.gateway.retrieve(call), Succeeded)
    purchase.assert_stands(AUTHORIZED)


@pytest.mark.parametrize("verb", [verb for verb in KEYED_VERBS if verb is not Verb.OPEN])
def test_no_reference_at_all_makes_no_verb_raise(purchase: Purchase, verb: Verb) -> None:
    """A call without a reference has no effect."""
    call = replace(purchase.call(), reference=None)

    assert not isinstance(purchase.ask(verb, call), Succeeded)
    assert not isinstance(purchase.subject.gateway.retrieve(call), Succeeded)


@pytest.mark.parametrize(
    "amount",
    [Money(-1, "EUR"), Money(2**63, "EUR"), Money(10**30, "EUR"), Money(1000, "XAU"), Money(1000, "E\x00R")],
    ids=lambda amount: ascii(f"{amount.minor} {amount.currency}"),
)
def test_an_amount_that_cannot_be_paid_is_declined(subject: Subject, amount: Money) -> None:
    """Not unknown, which would be repeated for a day: a definite no, and no object."""
    call = Call(uuid4(), f"conformance:{uuid4()}", amount, subject.tokens.ok)

    answer = subject.gateway.open(call)

    assert isinstance(answer, Declined)
    if subject.count_objects is not None:
        assert subject.count_objects(call.checkout_id) == 0


def test_closing_twice_is_closing_once(build: Callable[[], AbstractContextManager[Subject]]) -> None:
    """A closed gateway can be closed again."""
    with build() as own:
        Purchase(own).bring_to(OPEN)

        own.gateway.close()
        own.gateway.close()
