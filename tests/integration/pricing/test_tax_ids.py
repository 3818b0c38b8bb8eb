"""Who accounts for a tax: a buyer with a validated tax id of the country of delivery, which is not the seller's."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.settings import Settings
from tests.support.counter import read_failure
from tests.support.harness import ADDRESS, Shelf, Works
from tests.support.workbench import NOTHING, build_audited, read_bank, take_snapshot

VALIDATED = {"source": "VIES", "at": "2026-11-28T15:00:00Z"}
DE, FR, GB, EL, XI, CH = "DE136695976", "FR40303265045", "GB980780684", "EL094259216", "XI980780684", "CHE107787577"


def buy(works: Works, shelf: Shelf, country: str, *, included: bool = False, **columns: Any) -> UUID:
    """Buy a cup of 12.00, taxed at 20 % that is marked for reverse charge, for a place in this country."""
    shelf.add_variant("cup", price_minor=1200, tax_included=included)
    for taxed in ("DE", "FR", "GB", "GR", "CH", "MC", "IM", "US"):
        shelf.add_tax("0.2", taxed, reverse_charge=True)
    cart_id = shelf.add_cart(("cup", 1), address={**ADDRESS, "country": country}, **columns)
    checkout_id = works.start(cart_id, token="tok_ok")
    works.pump()
    return checkout_id


def read_lock(shelf: Shelf) -> tuple[Any, ...]:
    """Return total, tax, discount and the frozen id with its validation."""
    [row] = shelf.rows("SELECT total_minor, tax_minor, discount_minor, tax_id, tax_id_validated FROM price_locks")
    return row


@pytest.mark.parametrize(
    ("country", "tax_id", "kept", "seller"),
    [
        ("DE", DE, DE, "FR"),
        ("DE", "de 136.695-976", DE, "FR"),
        ("GR", "GR 094259216", EL, "DE"),
        ("gr", EL, EL, "DE"),
        ("GB", XI, XI, "DE"),
        ("GB", "GB 980 7806 84", GB, "DE"),
        ("IM", GB, GB, "DE"),
        ("MC", FR, FR, "DE"),
        ("CH", "CHE-107.787.577 MWST", CH, "DE"),
    ],
)
@pytest.mark.parametrize(("included", "total", "relief"), [(False, 1200, 0), (True, 1000, 200)])
def test_a_validated_id_of_the_country_removes_the_tax(
    engine: Engine, settings: Settings, shelf: Shelf, *, country: str, tax_id: str, kept: str, seller: str,
    included: bool, total: int, relief: int,
) -> None:  # fmt: skip
    with build_audited(engine, settings.model_copy(update={"seller_country": seller})) as works:
        checkout_id = buy(works, shelf, country, included=included, tax_id=tax_id, tax_id_validated=VALIDATED)
        assert works.states([checkout_id]) == ["completed"]
    assert read_lock(shelf) == (total, 0, relief, kept, VALIDATED)
    assert read_bank(engine, checkout_id).captured_minor == total


@pytest.mark.parametrize(
    ("country", "tax_id", "validated", "seller"),
    [
        ("DE", DE, None, "FR"),  # not validated
        ("DE", DE, VALIDATED, "DE"),  # the seller's own country
        ("DE", DE, VALIDATED, None),  # the seller's country is unknown
        ("DE", FR, VALIDATED, "GB"),  # another country's id
        ("GB", GB, VALIDATED, "GB"),
        ("GB", XI, VALIDATED, "GB"),
        ("MC", FR, VALIDATED, "FR"),  # Monaco's tax office is France's
        ("IM", GB, VALIDATED, "GB"),
        ("US", "US123456789", None, "DE"),  # a country whose form is not published
        ("FR", EL, VALIDATED, "DE"),
    ],
)
def test_any_other_id_changes_no_tax_and_is_kept(
    engine: Engine, settings: Settings, shelf: Shelf, country: str, tax_id: str, validated: Any, seller: str | None
) -> None:
    with build_audited(engine, settings.model_copy(update={"seller_country": seller})) as works:
        checkout_id = buy(works, shelf, country, tax_id=tax_id, tax_id_validated=validated)
        assert works.states([checkout_id]) == ["completed"]
    assert read_lock(shelf) == (1440, 240, 0, tax_id, validated)
    assert read_bank(engine, checkout_id).captured_minor == 1440


@pytest.mark.parametrize(
    "tax_id", ["x", "-", "\u200b", "DE", "DE136695977", "136695976", "EU123456789", "DE1\u202e36695976x", "9" * 60]
)
def test_what_is_no_tax_id_is_refused_in_a_cart_written_by_sql(
    works: Works, shelf: Shelf, engine: Engine, tax_id: str
) -> None:
    checkout_id = buy(works, shelf, "DE", tax_id=tax_id, tax_id_validated=VALIDATED)
    code, phase, sentence = read_failure(works, checkout_id)
    assert (code, phase) == ("tax_id_invalid", "cart_validation")
    assert sentence.startswith("The tax id cannot be used (")
    assert sentence.endswith("): correct it, or leave it out.")
    assert (shelf.stock("cup"), read_bank(engine, checkout_id)) == ((10, 0), NOTHING)
    assert shelf.rows("SELECT count(*) FROM price_locks") == [(0,)]


def test_an_empty_text_by_sql_is_no_tax_id(works: Works, shelf: Shelf) -> None:
    buy(works, shelf, "DE", tax_id=" ")
    assert read_lock(shelf) == (1440, 240, 0, None, None)


def test_what_validated_an_id_needs_the_id(shelf: Shelf, engine: Engine) -> None:
    before = take_snapshot(engine)
    with pytest.raises(Exception, match="carts_tax_id_validated_check"):
        shelf.add_cart(("cup", 1), tax_id_validated=VALIDATED)
    assert take_snapshot(engine) == before
