"""Tables of tax rates as CSV."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pipeline.catalog.tax_rates import TaxRow
from scripts.importers.tax_rates import NotReadable, RowRefusal, read_taxes

HEAD = "country,region,category,name,rate,on_shipping,reverse_charge,valid_from,valid_until\n"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_table_of_rates() -> None:
    found = read_taxes(
        (
            HEAD
            + "DE,,,VAT,0.19,true,true,2026-01-01,\n"
            + "de,,Books,VAT,0.07,,yes,2026-01-01,2027-01-01\n"
            + "US,NY,,State,0.04,no,,2025-12-31T19:00-05:00,\n"
            + "US,NY,,County,0.04875,1,0,2026-01-01,\n"
        ).encode()
    )

    assert (found.encoding, found.rows, found.refused) == ("utf-8", 4, ())
    assert found.taxes == (
        TaxRow("DE", "VAT", Decimal("0.19"), NEW_YEAR, reverse_charge=True),
        TaxRow(
            "DE",
            "VAT",
            Decimal("0.07"),
            NEW_YEAR,
            category="Books",
            valid_until=datetime(2027, 1, 1, tzinfo=UTC),
            reverse_charge=True,
        ),
        TaxRow("US", "State", Decimal("0.04"), NEW_YEAR, region="NY", on_shipping=False),
        TaxRow("US", "County", Decimal("0.04875"), NEW_YEAR, region="NY"),
    )


def test_columns_that_may_be_missing() -> None:
    found = read_taxes(b"name,valid_from,country,rate\nVAT,2026-01-01,FR,0.2\n")

    assert found.taxes == (TaxRow("FR", "VAT", Decimal("0.2"), NEW_YEAR),)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Germany,,,VAT,0.19,,,2026-01-01,", "'Germany' is no country of ISO 3166: use DE"),
        (",,,VAT,0.19,,,2026-01-01,", "'' is no country of ISO 3166: use two letters such as DE"),
        ("UK,,,VAT,0.2,,,2026-01-01,", "'UK' is no country of ISO 3166: use GB"),
        ("EL,,,VAT,0.24,,,2026-01-01,", "'EL' is no country of ISO 3166: use GR"),
        ("XX,,,VAT,0.2,,,2026-01-01,", "'XX' is no country of ISO 3166: use two letters such as DE"),
        (
            "US,Kalifornien,,State,0.0725,,,2026-01-01,",
            "'Kalifornien' is no region of US in ISO 3166-2: use its code, such as AA for US-AA",
        ),
        ("fr,,,vat\u200b,0.2,,,2026-01-01,", "the same tax from the same moment: row 2 has it already"),
        ("DE,,,,0.19,,,2026-01-01,", "no name: one such as VAT"),
        # Twenty per cent written as 20 would be twenty times the price
        ("DE,,,VAT,20,,,2026-01-01,", "bad rate '20': a fraction such as 0.2, or 20%"),
        ("DE,,,VAT,-0.2,,,2026-01-01,", "bad rate '-0.2': a fraction such as 0.2, or 20%"),
        ("DE,,,VAT,,,,2026-01-01,", "bad rate '': a fraction such as 0.2, or 20%"),
        ("DE,,,VAT,0.1234567,,,2026-01-01,", "bad rate '0.1234567': a fraction such as 0.2, or 20%"),
        ("DE,,,VAT,1.2,,,2026-01-01,", "bad rate '1.2': more than all of the price"),
        (
            "DE,,,VAT,0.5,,,2026-01-01,",
            "a rate of 50 %: when half of the price and more is right, import it with --force",
        ),
        ("DE,,,VAT,0.2,maybe,,2026-01-01,", "on_shipping is 'maybe': true or false"),
        ("DE,,,VAT,0.2,,x,2026-01-01,", "reverse_charge is 'x': true or false"),
        ("DE,,,VAT,0.2,,,,", "bad valid_from '': one such as 2026-01-01 or 2026-01-01T00:00+01:00"),
        (
            "DE,,,VAT,0.2,,,2026-02-31,",
            "bad valid_from '2026-02-31': one such as 2026-01-01 or 2026-01-01T00:00+01:00",
        ),
        (
            "DE,,,VAT,0.2,,,2026-01-01T00:00,",
            "bad valid_from '2026-01-01T00:00': one such as 2026-01-01 or 2026-01-01T00:00+01:00",
        ),
        ("DE,,,VAT,0.2,,,2026-01-01,2026-01-01", "it ends at 2026-01-01, not after it begins"),
        (f"DE,{'x' * 256},,VAT,0.2,,,2026-01-01,", "a region of 256 characters: at most 255 fit"),
        ("FR,,,VAT,0.2,,,2026-01-01T00:00Z,", "the same tax from the same moment: row 2 has it already"),
    ],
)
def test_a_bad_row_is_refused_and_the_others_go_on(row: str, reason: str) -> None:
    found = read_taxes(f"{HEAD}FR,,,VAT,0.2,,,2026-01-01,\n{row}\nAT,,,VAT,0.2,,,2026-01-01,\n".encode())

    assert [tax.country for tax in found.taxes] == ["FR", "AT"]
    assert (found.rows, found.refused) == (3, (RowRefusal(3, reason),))


def test_a_table_without_the_columns_is_refused() -> None:
    with pytest.raises(NotReadable, match="it has no column name, rate"):
        read_taxes(b"country,valid_from\nDE,2026-01-01\n")
