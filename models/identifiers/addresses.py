"""Addresses as they are stored and taxed: the country by ISO 3166-1, the region by ISO 3166-2."""

from collections.abc import Mapping
from typing import Any, Final

from models.identifiers import find_region, normalize_country, normalize_text
from models.identifiers.regions import MAX_REGION

#: What other systems call the field. A county is none of them: in the United States it is part of a state.
REGION_FIELDS: Final = ("region", "state", "province", "region_code", "state_code", "province_code", "prefecture")

#: An address as the contracts describe it: they cannot say which countries there are.
ADDRESS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "a postal address; a checkout needs name, line1, city and country; all other fields are kept",
    "properties": {
        "country": {
            "type": ["string", "null"],
            "description": "two letters of ISO 3166-1 (GB, GR), or XK for Kosovo; stored in capitals",
        },
        "region": {
            "type": ["string", "null"],
            "maxLength": MAX_REGION,
            "description": "ISO 3166-2: a code (CA, US-CA) or a name (California), stored as CA;"
            " required where the country's taxes depend on it; state and province are read as it",
        },
    },
    "additionalProperties": True,
}


def normalize_address(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the address with its country in two capitals, and its region as a code where ISO 3166-2 has it.

    The region may be in `region`, or in one of the fields of other systems; `region` is filled then. An unknown region
    is kept as it was written: whether that matters depends on the country's taxes. Raises ValueError for an unknown
    country, and for two fields that name two regions. An address may still lack its country.
    """
    address = dict(given)
    country = normalize_address_country(address)
    named = [name for name in REGION_FIELDS if name in address]
    regions = {name: region for name in named if (region := _read_region(country, name, address[name])) is not None}
    if len(set(regions.values())) > 1:
        raise ValueError(f"{' and '.join(regions)} name two regions: leave all but region out")
    if country is not None:
        address["country"] = country
        address.pop("region", None)
        if regions:
            address["region"] = next(iter(regions.values()))
    return address


def normalize_address_country(address: Mapping[str, Any]) -> str | None:
    """Return the country of an address, None where it has none; raise ValueError for an unknown one."""
    country = address.get("country")
    if country in (None, ""):
        return None
    if not isinstance(country, str):
        raise ValueError("country must be text")  # noqa: TRY004 (a refusal like the others)
    try:
        return normalize_country(country)
    except ValueError as error:
        raise ValueError(f"country: {error}") from None


def find_address_region(address: Mapping[str, Any]) -> str | None:
    """Return the region of a normalised address, if it is one of ISO 3166-2."""
    region = address.get("region")
    return None if region is None else find_region(address["country"], region)


def _read_region(country: str | None, name: str, text: Any) -> str | None:
    if text is None or (isinstance(text, str) and not text.strip()):
        return None
    if not isinstance(text, str):
        raise ValueError(f"{name} must be text")  # noqa: TRY004 (a refusal like the others)
    try:
        return (country and find_region(country, text)) or normalize_text(text, limit=MAX_REGION)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
