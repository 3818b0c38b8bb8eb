"""Countries as invoice files write them: by the names of the Online Retail data set, or by ISO 3166.

"Unspecified", "European Community" and "West Indies" are in the files too, and are no shipping destinations.
"""

from functools import lru_cache
from typing import Final

from models.identifiers import normalize_country
from models.identifiers.countries import INSTEAD
from scripts.importers.headings import show

COUNTRIES: Final = {
    "australia": "AU",
    "austria": "AT",
    "bahrain": "BH",
    "belgium": "BE",
    "bermuda": "BM",
    "brazil": "BR",
    "canada": "CA",
    "channel islands": "JE",  # one code is needed: Jersey is the larger of the two
    "cyprus": "CY",
    "czech republic": "CZ",
    "denmark": "DK",
    "eire": "IE",
    "finland": "FI",
    "france": "FR",
    "germany": "DE",
    "greece": "GR",
    "hong kong": "HK",
    "iceland": "IS",
    "israel": "IL",
    "italy": "IT",
    "japan": "JP",
    "korea": "KR",
    "lebanon": "LB",
    "lithuania": "LT",
    "malta": "MT",
    "morocco": "MA",
    "netherlands": "NL",
    "nigeria": "NG",
    "norway": "NO",
    "poland": "PL",
    "portugal": "PT",
    "rsa": "ZA",
    "saudi arabia": "SA",
    "singapore": "SG",
    "spain": "ES",
    "sweden": "SE",
    "switzerland": "CH",
    "thailand": "TH",
    "united arab emirates": "AE",
    "united kingdom": "GB",
    "usa": "US",
}


@lru_cache(maxsize=4096)
def read_country(text: str) -> str:
    """Return the code of a country, given by its name in the files, its ISO 3166 code, or its ISO name.

    Raises ValueError with the reason to refuse it, and with the right code for a common mistake.
    """
    if not text:
        raise ValueError("no country")
    if (code := COUNTRIES.get(text.casefold())) is not None:
        return code
    try:
        return normalize_country(text)
    except ValueError:
        if text.upper() in INSTEAD:
            raise
    found = None if text.isdigit() else _look_up(text)
    if found is None:
        raise ValueError(f"country {show(text)}: no place known to send to")
    return found


def _look_up(text: str) -> str | None:
    # pycountry takes some 100 ms to load, and the usual names do not need it.
    import pycountry  # noqa: PLC0415

    try:
        return str(pycountry.countries.lookup(text).alpha_2)
    except LookupError:
        return None
