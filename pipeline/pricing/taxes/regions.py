"""Choose the tax rates of the place to which the goods go. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.identifiers import list_ancestors
from models.identifiers.addresses import find_address_region
from pipeline.checkouts import Rejected
from pipeline.errors import Code
from pipeline.errors.wording import quote
from pipeline.pricing.terms import TaxRate


def object_to_region(address: Mapping[str, Any], rates: Sequence[TaxRate]) -> Rejected | None:
    """Refuse an address that does not say which of the country's regional rates apply: missing, unknown, too large.

    Otherwise the region's tax would be missing, and nothing would report it.
    """
    regions = {rate.region for rate in rates if rate.region is not None}
    if not regions:
        return None
    country, given = address["country"], address.get("region")
    region = find_address_region(address)
    if given is None:
        reason = "names none"
    elif region is None:
        reason = f"names {quote(given)}, which is none of {country}"
    elif parts := sorted(each for each in regions if region in list_ancestors(country, each)[1:]):
        reason = f"names {region}, whose parts ({', '.join(parts[:3])}) are taxed differently"
    else:
        return None
    return Rejected(Code.REGION_REQUIRED, {"country": country, "reason": reason})


def choose_places(address: Mapping[str, Any], rates: Sequence[TaxRate]) -> tuple[TaxRate, ...]:
    """Return the rates of the country, and of the address's region and what it lies in, each with its closeness."""
    if all(rate.region is None for rate in rates):
        return tuple(rates)
    region = find_address_region(address)
    places = () if region is None else list_ancestors(address["country"], region)
    closeness = {place: len(places) - at for at, place in enumerate(places)}
    return tuple(
        rate if rate.region is None else replace(rate, closeness=closeness[rate.region])
        for rate in rates
        if rate.region is None or rate.region in closeness
    )
