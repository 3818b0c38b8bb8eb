"""Tokens of Stripe's library in the browser, distinguished by prefix."""

import pytest

from pipeline.gateways.gateway import Declined
from pipeline.gateways.stripe.tokens import ConfirmationToken, PaymentMethod, read_token
from tests.integration.gateways.stripe.purse import make_call
from tests.integration.gateways.stripe.setting import run_gateway


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ("ctoken_1NnQUf2eZvKYlo2CIObdtbnb", ConfirmationToken("ctoken_1NnQUf2eZvKYlo2CIObdtbnb")),
        ("pm_1MqLiJLkdIwHu7ixUEgbFdYF", PaymentMethod("pm_1MqLiJLkdIwHu7ixUEgbFdYF")),
        # Stripe's test world
        ("pm_card_visa_chargeDeclined", PaymentMethod("pm_card_visa_chargeDeclined")),
    ],
)
def test_the_two_kinds_that_are_accepted(token: str, found: object) -> None:
    assert read_token(token) == found


@pytest.mark.parametrize(
    "token",
    [
        *("tok_visa", "src_18eYalAHEMiOZZp1l9ZTjSU0", "card_1MvoiELkdIwHu7ixOeFGbN9D", "seti_1", "pi_1", "cus_1"),
        *("", " ", "pm", "pm_", "ctoken_", "ctoken", "PM_1", "CTOKEN_1", "pm_1 ", " pm_1", "pm_1\n", "pm_\u0661"),
        *("xpm_1", "pm_1/../../refunds", "ctoken_1?x=1", "pm_a\x00b", "tok_ok", "pm_" + "1" * 201),
    ],
    ids=ascii,
)
def test_anything_else_is_declined_without_a_call(token: str) -> None:
    assert read_token(token) is None
    # Nobody listens there: a call would be Transient.
    with run_gateway("http://127.0.0.1:1") as gateway:
        answer = gateway.authorize(make_call("pi_1", token=token))
    assert answer == Declined(
        "payment_method_unknown", "The token is no ConfirmationToken (ctoken_...) of Stripe's library."
    )
