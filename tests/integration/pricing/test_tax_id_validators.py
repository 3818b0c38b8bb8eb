"""A validator of one's own: called on input, outside any transaction, and trusted only when it says yes."""

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from pipeline.carts import Cart
from pipeline.intake import CheckoutService, PaymentInput, StartRequest
from pipeline.pricing.taxes import tax_ids
from pipeline.pricing.taxes.tax_ids import build_validator
from pipeline.settings import Settings, SettingsError
from tests.support.harness import ADDRESS, OWNER, Shelf, Works
from tests.support.workbench import build_audited

NOWHERE: Final[dict[str, Any]] = {"database_url": SecretStr("postgresql://"), "redis_url": SecretStr("redis://")}


@dataclass
class Office:
    """A tax office that knows one id, and may be closed."""

    engine: Engine
    closed: bool = False
    asked: list[str] = field(default_factory=list)
    open_transactions: list[int] = field(default_factory=list)

    def validate(self, tax_id: str) -> bool:
        """Return the result, and check that no transaction is open meanwhile."""
        self.asked.append(tax_id)
        with self.engine.connect() as connection:
            idle = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND state = 'idle in transaction'")  # fmt: skip
            self.open_transactions.append(connection.execute(idle).scalar_one())
        if self.closed:
            raise TimeoutError("the office is closed")
        return tax_id == "DE136695976"


def bring(tax_id: str, **others: Any) -> Cart:
    """Return a cart of one cup that is to be brought along."""
    return Cart.model_validate(
        {
            "id": str(uuid4()),
            "currency": "EUR",
            "lines": [{"sku": "cup", "quantity": 1}],
            "tax_id": tax_id,
            "shipping_address": {**ADDRESS, "country": "DE"},
            **others,
        }
    )


def buy(works: Works, cart: Cart) -> UUID:
    """Buy it under a key of its own."""
    request = StartRequest(owner=OWNER, cart=cart, payment=PaymentInput(token="tok_ok"), idempotency_key=str(uuid4()))
    return works.service.start(request).checkout_id


def use(works: Works, office: Office, settings: Settings) -> None:
    """Install this office as the validator."""
    works.service = CheckoutService(
        works.engine, works.transactions, works.line, works.gateway, settings, validator=office
    )


@pytest.mark.parametrize(
    ("tax_id", "closed", "tax", "source"),
    [("DE136695976", False, 0, "office"), ("DE136695976", True, 200, None), ("DE 129273398", False, 200, None)],
    ids=["known", "closed", "unknown"],
)
def test_the_office_decides(
    engine: Engine, settings: Settings, shelf: Shelf, tax_id: str, *, closed: bool, tax: int, source: str | None
) -> None:
    shelf.add_variant("cup", price_minor=1000, tax_included=False)
    shelf.add_tax("0.2", "DE", reverse_charge=True)
    office = Office(engine, closed)
    chosen = settings.model_copy(update={"seller_country": "FR"})
    with build_audited(engine, chosen) as works:
        use(works, office, chosen.model_copy(update={"tax_id_validator": "office"}))
        checkout_id = buy(works, bring(tax_id))
        works.pump()
        assert works.status(checkout_id).total_minor == 1000 + tax
    assert shelf.rows("SELECT tax_id_validated->>'source' FROM carts") == [(source,)]
    assert shelf.rows("SELECT tax_id_validated->>'source' FROM price_locks") == [(source,)]
    assert (office.asked, office.open_transactions) == ([tax_id.replace(" ", "")], [0])


def test_no_validator_is_called_for_a_validated_id_or_without_one(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    shelf.add_variant("cup", price_minor=1000, tax_included=False)
    office = Office(engine)
    with build_audited(engine, settings) as works:
        use(works, office, settings)
        buy(works, bring("DE136695976", tax_id_validated={"source": "us", "at": "2026-11-28T15:00:00+01:00"}))
        works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
        works.pump()
    assert office.asked == []
    assert shelf.rows("SELECT tax_id_validated->>'source' FROM carts ORDER BY 1") == [("us",), (None,)]


def test_the_same_request_again_joins_whatever_the_office_says_by_then(
    engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    shelf.add_variant("cup", price_minor=1000)
    office, cart = Office(engine), bring("DE136695976")
    with build_audited(engine, settings) as works:
        use(works, office, settings.model_copy(update={"tax_id_validator": "office"}))
        first = buy(works, cart)
        office.closed = True
        assert buy(works, cart) == first
        works.pump()
        assert works.states([first]) == ["completed"]
    assert office.asked == ["DE136695976"] * 2
    assert shelf.rows("SELECT count(*) FROM orders") == [(1,)]


def test_a_validator_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    point = EntryPoint("office", f"{__name__}:Office", tax_ids.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _self: lambda _settings: Office(engine))
    monkeypatch.setattr(tax_ids, "entry_points", lambda **_group: EntryPoints([point]))
    assert isinstance(build_validator(Settings(_env_file=None, **NOWHERE, tax_id_validator="office")), Office)
    assert build_validator(Settings(_env_file=None, **NOWHERE)) is None
    with pytest.raises(
        SettingsError, match=r"There is no validator 'vies': set CHECKOUT_TAX_ID_VALIDATOR to one of office\."
    ):
        build_validator(Settings(_env_file=None, **NOWHERE, tax_id_validator="vies"))


@pytest.mark.parametrize(("country", "kept"), [("de", "DE"), ("", None), (None, None)])
def test_the_sellers_country_is_one(country: str | None, kept: str | None) -> None:
    assert Settings(_env_file=None, **NOWHERE, seller_country=country).seller_country == kept
    with pytest.raises(ValueError, match="use GB"):
        Settings(_env_file=None, **NOWHERE, seller_country="UK")
