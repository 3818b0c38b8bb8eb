"""Reverse charge: a buyer with a validated tax id, in another country than the seller's, accounts for the tax.

An id is validated by a caller that may name prices (`tax_id_validated`), or by a validator:

    class Vies:
        def validate(self, tax_id: str) -> bool: ...   # raises when it cannot find out

    [project.entry-points."checkout_engine.tax_id_validators"]
    vies = "my_package:Vies"          # called with the settings; CHECKOUT_TAX_ID_VALIDATOR=vies chooses it

It is called in the service, before any transaction. No result is no validation: the tax is charged.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import Any, Final, Protocol, cast

import structlog

from models.identifiers import find_tax_country, find_tax_office
from pipeline.carts.cart_input import CartContent, TaxIdValidation
from pipeline.settings import Settings, SettingsError

GROUP: Final = "checkout_engine.tax_id_validators"

log = structlog.get_logger()


class TaxIdValidator(Protocol):
    """Validates ids at a tax office. It bounds its own time: a buyer waits for it."""

    def validate(self, tax_id: str) -> bool:
        """Return whether the tax office knows a normalised id; raise any exception when that cannot be found out."""
        ...


def build_validator(settings: Settings) -> TaxIdValidator | None:
    """Return the validator that the settings name, if any; SettingsError when it is not installed."""
    if not settings.tax_id_validator:
        return None
    found = entry_points(group=GROUP)
    if settings.tax_id_validator not in found.names:
        known = ", ".join(sorted(found.names)) or "none is installed"
        raise SettingsError(
            f"There is no validator {settings.tax_id_validator!r}: set CHECKOUT_TAX_ID_VALIDATOR to one of {known}."
        )
    return cast("TaxIdValidator", found[settings.tax_id_validator].load()(settings))


def ask_validator(validator: TaxIdValidator | None, cart: CartContent | None, name: str) -> TaxIdValidation | None:
    """Return what is known of a cart's tax id: from the cart itself, else from the validator."""
    if cart is None or cart.tax_id is None or cart.tax_id_validated is not None or validator is None:
        return None if cart is None else cart.tax_id_validated
    try:
        valid = validator.validate(cart.tax_id)
    except Exception as error:  # noqa: BLE001 (code of others, which calls a server of others)
        log.warning("tax_id.not_validated", validator=name, error=f"{type(error).__name__}: {error}"[:200])
        return None
    return TaxIdValidation(source=name, at=datetime.now(UTC)) if valid else None


def is_reverse_charged(
    tax_id: str | None, validated: Mapping[str, Any] | None, country: str, seller_country: str | None
) -> bool:
    """Return whether the buyer accounts for the taxes that are marked for it.

    Only with a validated id of the country that the goods go to, and never in the seller's own country: without
    CHECKOUT_SELLER_COUNTRY that is unknown, and the taxes are charged.
    """
    if tax_id is None or validated is None or seller_country is None:
        return False
    office = find_tax_office(country)
    return find_tax_office(find_tax_country(tax_id)) == office != find_tax_office(seller_country)
