"""Tax ids of buyers: their form and check digits by python-stdnum, and the countries whose buyers have them.

An id is written with the prefix of its country. That its form is right says nothing about its holder.
"""

import re
from typing import Final

from models.identifiers.countries import list_countries
from models.identifiers.texts import fold

MAX_TAX_ID: Final = 50

#: Prefixes that are not the code of their country.
PREFIXES: Final = {"EL": "GR", "XI": "GB"}

#: Countries whose buyers have the ids of another one's tax office.
OFFICES: Final = {"MC": "FR", "IM": "GB"}

#: What may be between the digits. Folding makes some dashes one; the others are here.
_SEPARATORS: Final = re.compile(r"[-.,/'\u2010-\u2015\u2212]")
_FORM: Final = re.compile(r"[A-Z]{2,3}[A-Z0-9+*]{2,30}")

#: Where the same number is written with a suffix and without one.
_SUFFIXES: Final = {"CH": ("MWST", "TVA", "IVA", "TPV"), "NO": ("MVA",)}

#: The member states of the EU, whose ids `stdnum.eu.vat` knows, and Northern Ireland.
_EU: Final = frozenset(
    ("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "EL", "ES", "FI", "FR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
     "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK", "XI")
)  # fmt: skip


def normalize_tax_id(text: str) -> str:
    """Return a tax id as it is stored: its country's prefix (EL for Greece, XI for Northern Ireland), no separators.

    Raises ValueError for one without a prefix, and for one whose form or check digits are wrong. Where a country's form
    is not published, an id is accepted as it is.
    """
    number = _SEPARATORS.sub("", fold(text, limit=MAX_TAX_ID, blanks=False).upper())
    prefix = "EL" if number.startswith("GR") else number[:2]
    country = PREFIXES.get(prefix, prefix)
    if country not in list_countries() or not _FORM.fullmatch(number):
        raise ValueError(f"{text!r} is no tax id: begin with the two letters of its country, as in DE136695976")
    checked = _check(prefix, country, number)
    if checked is None:
        raise ValueError(f"{text!r} is no tax id of {country}: compare it, digit by digit, with the buyer's papers")
    return checked


def find_tax_country(tax_id: str) -> str:
    """Return the country of ISO 3166 whose tax office gave a normalised id."""
    return PREFIXES.get(tax_id[:2], tax_id[:2])


def find_tax_office(country: str) -> str:
    """Return the country whose tax office buyers of a country have: France for Monaco, mostly its own."""
    return OFFICES.get(country, country)


def _check(prefix: str, country: str, number: str) -> str | None:
    # Some 6 MB of modules, one a country: loaded for the first cart with a tax id.
    from stdnum.ch import uid  # noqa: PLC0415
    from stdnum.eu import vat  # noqa: PLC0415
    from stdnum.exceptions import ValidationError  # noqa: PLC0415
    from stdnum.util import get_cc_module  # noqa: PLC0415

    if prefix in _EU:
        try:
            return str(vat.validate(prefix + number[2:]))
        except ValidationError:
            return None
    module = uid if country == "CH" else get_cc_module(country, "vat")
    bare = number
    for suffix in _SUFFIXES.get(country, ()):
        bare = bare.removesuffix(suffix)
    if module is None:
        return number
    forms = {"CH": [bare], "NO": [f"{bare[2:]}MVA"]}.get(country, [bare[2:], bare])
    for form in forms:
        try:
            valid = str(module.validate(form))
        except ValidationError:
            continue
        return valid if valid.startswith(prefix) else prefix + valid
    return None
