"""The amounts that an adapter can charge: known from the currency alone, before anything is reserved."""

from uuid import uuid4

import pytest

from models.money import Money, minor_digits
from pipeline.gateways.conformance.subject import Subject
from pipeline.gateways.gateway import Call, Declined, NotChargeable, Succeeded

CURRENCIES = ["EUR", "USD", "JPY", "KWD", "BHD", "TND", "ISK", "UGX", "MGA", "HUF", "TWD", "IDR", "CLF", "IQD"]
AMOUNTS = [1, 4, 5, 9, 10, 49, 50, 99, 1234, 5124, 5125, 99_999, 100_000_000, 10**12 + 1, 2**63 - 1]


@pytest.mark.parametrize("currency", CURRENCIES)
def test_what_can_be_charged_is_the_amount_or_a_little_less(subject: Subject, currency: str) -> None:
    """Called for every quote: never zero, never more, never another currency, and the same result for a repeat."""
    for minor in AMOUNTS:
        amount = Money(minor, currency)
        match subject.gateway.chargeable(amount):
            case Money() as charge:
                assert charge.currency == currency
                assert 0 < charge.minor <= minor
                # Less than one whole unit of the currency is lost.
                assert minor - charge.minor < 10 ** (minor_digits(currency) or 0) or charge == amount
                assert subject.gateway.chargeable(charge) == charge
            case NotChargeable(reason):
                # The advice comes after a colon.
                assert reason.isprintable()
                assert reason.rpartition(": ")[0]
                assert not reason.endswith(".")


@pytest.mark.parametrize("currency", CURRENCIES)
def test_what_can_be_charged_is_opened(subject: Subject, currency: str) -> None:
    """`chargeable` and `open` agree."""
    for minor in (1234, 5124, 99_999):
        charge = subject.gateway.chargeable(Money(minor, currency))
        if isinstance(charge, Money):
            answer = subject.gateway.open(Call(uuid4(), f"conformance:{uuid4()}", charge, subject.tokens.ok))
            assert isinstance(answer, Succeeded)


@pytest.mark.parametrize(
    "amount",
    [
        Money(0, "EUR"),
        Money(-1, "EUR"),
        Money(2**63, "EUR"),
        Money(10**30, "EUR"),
        Money(1000, "XAU"),
        Money(5, "E\x00R"),
    ],
    ids=lambda amount: ascii(f"{amount.minor} {amount.currency}"),
)
def test_what_cannot_be_charged_is_known_beforehand(subject: Subject, amount: Money) -> None:
    """`open` declines it nevertheless."""
    assert isinstance(subject.gateway.chargeable(amount), NotChargeable)
    if amount.minor != 0:
        answer = subject.gateway.open(Call(uuid4(), f"conformance:{uuid4()}", amount, subject.tokens.ok))
        assert isinstance(answer, Declined)
