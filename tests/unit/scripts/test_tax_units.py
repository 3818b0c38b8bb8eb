"""The unit of a table's rates."""

from decimal import Decimal

import pytest

from scripts.importers.tax_rates import NotReadable, RateUnit, RowRefusal, read_taxes


def write(*rates: str) -> bytes:
    rows = "".join(f"DE,tax {number},{rate},2026-01-01\n" for number, rate in enumerate(rates))
    return f"country,name,rate,valid_from\n{rows}".encode()


@pytest.mark.parametrize(
    ("rates", "unit", "read"),
    [
        (("19%", "7 %", "0.5%", "4.6%"), RateUnit.PERCENT, ("0.19", "0.07", "0.005", "0.046")),
        (("0.19", "0.07", "0"), RateUnit.FRACTION, ("0.19", "0.07", "0")),
        # Nothing is the same in both
        (("0", "19%", "0.0"), RateUnit.PERCENT, ("0", "0.19", "0")),
        (("0%", "0.19"), RateUnit.FRACTION, ("0", "0.19")),
        ((), RateUnit.FRACTION, ()),
    ],
)
def test_the_unit_is_the_one_that_all_rates_are_written_in(
    rates: tuple[str, ...], unit: RateUnit, read: tuple[str, ...]
) -> None:
    found = read_taxes(write(*rates))

    assert (found.unit, found.refused) == (unit, ())
    assert [tax.rate for tax in found.taxes] == [Decimal(rate) for rate in read]


@pytest.mark.parametrize("rates", [("0.19", "7%"), ("7%", "0.07"), ("20", "20%"), ("0.5%", "0.5")])
def test_two_units_refuse_the_table(rates: tuple[str, str]) -> None:
    signed, bare = sorted(range(2), key=lambda at: "%" not in rates[at])

    with pytest.raises(NotReadable) as refusal:
        read_taxes(write(*rates))

    assert str(refusal.value) == (
        f"its rates are in two units: row {signed + 2} has {rates[signed]!r} and row {bare + 2} has {rates[bare]!r};"
        " write all of them with %, or say what those without it are: --unit percent or --unit fraction"
    )


def test_a_column_of_percentages_without_signs_is_not_half_read_as_fractions() -> None:
    table = write("0.5", "4.6")

    found = read_taxes(table)
    assert found.taxes == ()
    assert found.refused == (
        RowRefusal(2, "a rate of 50 %: when half of the price and more is right, import it with --force"),
        RowRefusal(3, "bad rate '4.6': a fraction such as 0.2, or 20%"),
    )
    # And with the unit given
    percent = read_taxes(table, unit=RateUnit.PERCENT)
    assert ([tax.rate for tax in percent.taxes], percent.refused) == ([Decimal("0.005"), Decimal("0.046")], ())


def test_a_unit_given_is_for_the_rates_without_a_sign() -> None:
    percent = read_taxes(write("19", "7%", "0.5"), unit=RateUnit.PERCENT)
    fraction = read_taxes(write("0.19", "7%"), unit=RateUnit.FRACTION)

    assert [tax.rate for tax in percent.taxes] == [Decimal("0.19"), Decimal("0.07"), Decimal("0.005")]
    assert [tax.rate for tax in fraction.taxes] == [Decimal("0.19"), Decimal("0.07")]


@pytest.mark.parametrize(
    ("rate", "unit", "shown"),
    [("50%", None, "50"), ("0.75", None, "75"), ("1", None, "100"), ("62.5", RateUnit.PERCENT, "62.5")],
)
def test_a_rate_of_half_the_price_and_more_needs_force(rate: str, unit: RateUnit | None, shown: str) -> None:
    refused, forced = (read_taxes(write(rate), unit=unit, force=force) for force in (False, True))

    assert refused.taxes == ()
    assert [each.reason for each in refused.refused] == [
        f"a rate of {shown} %: when half of the price and more is right, import it with --force"
    ]
    assert ([tax.rate for tax in forced.taxes], forced.refused) == ([Decimal(shown).scaleb(-2)], ())


@pytest.mark.parametrize(("rate", "unit"), [("101%", None), ("1.01", None), ("999", RateUnit.PERCENT)])
def test_a_rate_above_the_whole_price_is_never_accepted(rate: str, unit: RateUnit | None) -> None:
    found = read_taxes(write(rate), unit=unit, force=True)

    assert found.taxes == ()
    assert [each.reason for each in found.refused] == [f"bad rate {rate!r}: more than all of the price"]
