"""Countries as the Online Retail files write them, and their ISO 3166 codes.

"Unspecified", "European Community" and "West Indies" are in the files too, and no place that a parcel can be sent to.
"""

from typing import Final

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


def find_country(name: str) -> str | None:
    """Return the two-letter code of a country, whatever the case of its name; None for what is not on the list."""
    return COUNTRIES.get(name.casefold())
