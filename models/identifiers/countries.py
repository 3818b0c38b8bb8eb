"""Countries by ISO 3166-1 alpha-2, and XK for Kosovo.

ISO leaves XK to its users; the EU, Stripe and Shopify use it, and without it an order cannot be delivered there.
"""

from functools import cache
from typing import Final

from models.identifiers.texts import fold

#: What people and other standards write, and what ISO 3166-1 has for it.
INSTEAD: Final = {
    "UK": "GB",
    "EL": "GR",
    "XI": "GB, with a region such as NIR",
    "AN": "CW, SX or BQ",
    "YU": "RS or ME",
    "CS": "RS, ME, CZ or SK",
    "DD": "DE",
    "SU": "RU, or the country of today",
    "FX": "FR",
    "BU": "MM",
    "TP": "TL",
    "ZR": "CD",
    "NT": "IQ or SA",
    "IC": "ES, with the region CN",
    "EA": "ES, with the region CE or ML",
    "AC": "SH",
    "TA": "SH",
    "DG": "IO",
    "CP": "FR",
    "JA": "JP",
    "EU": "the country's own code",
}

KOSOVO: Final = "XK"
LONGEST: Final = 60


def normalize_country(text: str) -> str:
    """Return the two letters of a country, capitals; raise ValueError, with what to write instead where it is known."""
    if text in list_countries():
        return text
    try:
        code = fold(text, limit=LONGEST).upper()
    except ValueError:
        code = ""
    if code in list_countries():
        return code
    hint = INSTEAD.get(code) or _find_by_name(code)
    shown = repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")
    raise ValueError(f"{shown} is no country of ISO 3166: use {hint or 'two letters such as DE'}")


@cache
def list_countries() -> frozenset[str]:
    """Return every code that an address may have."""
    # Its lists take some 100 ms to load, and not every process needs them.
    import pycountry  # noqa: PLC0415

    return frozenset(country.alpha_2 for country in pycountry.countries) | {KOSOVO}


def _find_by_name(name: str) -> str | None:
    """Return the code of a country given by three letters, digits or its name, for the hint."""
    import pycountry  # noqa: PLC0415

    try:
        return str(pycountry.countries.lookup(name).alpha_2)
    except LookupError:
        return None
