"""Regions by ISO 3166-2: states, provinces, cantons and what lies in them, found by code or by name.

A region is stored as its code without the country: `CA` for US-CA. Its country always stands beside it.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from models.identifiers.countries import normalize_country
from models.identifiers.texts import fold, is_plain

MAX_REGION: Final = 255

#: Names and codes in daily use that ISO 3166-2 does not have. The three of the US are those of its armed forces.
ALIASES: Final = {
    "US": {"AA": "AA", "AE": "AE", "AP": "AP", "Washington DC": "DC", "Washington D.C.": "DC", "D.C.": "DC"},
    "CA": {"PQ": "QC", "NF": "NL", "Newfoundland": "NL", "PEI": "PE"},
    "ES": {
        "Canary Islands": "CN", "Islas Canarias": "CN", "Balearic Islands": "IB", "Catalonia": "CT", "Andalusia": "AN",
        "Basque Country": "PV", "Navarre": "NC",
    },
    "DE": {"Bavaria": "BY", "Hesse": "HE", "Lower Saxony": "NI", "North Rhine-Westphalia": "NW", "Saxony": "SN",
           "Saxony-Anhalt": "ST", "Rhineland-Palatinate": "RP", "Thuringia": "TH",
           "Mecklenburg-Western Pomerania": "MV"},
    "IT": {"Lombardy": "25", "Piedmont": "21", "Tuscany": "52", "Sicily": "82", "Sardinia": "88", "Apulia": "75"},
    "IN": {"OR": "OD", "Orissa": "OD", "UT": "UK", "CT": "CG", "TG": "TS", "Pondicherry": "PY"},
    "PT": {"Madeira": "30", "Azores": "20"},
    "GB": {"Northern Ireland": "NIR", "England": "ENG", "Scotland": "SCT", "Wales": "WLS"},
}  # fmt: skip

_IN_BRACKETS: Final = re.compile(r"\[([^\]]*)\]|\(([^)]*)\)")
_NO_LETTER: Final = re.compile(r"[\W_]+")


@dataclass(slots=True)
class _Country:
    """The regions of a country: by what they are called, and what each lies in."""

    codes: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)


def find_region(country: str, text: str) -> str | None:
    """Return the code of a region by its code or name, whatever case and accents; None when ISO 3166-2 has no such."""
    regions = _load_regions().get(country)
    if regions is None or not text or len(text) > MAX_REGION:
        return None
    if text in regions.codes:
        return text
    try:
        folded = fold(text, limit=MAX_REGION).upper()
    except ValueError:
        return None
    code = folded.removeprefix(f"{country}-").removeprefix(f"{country} ")
    if code in regions.codes:
        return code
    return regions.names.get(_letters(text))


def normalize_region(country: str, text: str) -> str:
    """Return the code of a region; raise ValueError when the country has none of that code or name."""
    code = normalize_country(country)
    if (found := find_region(code, text)) is not None:
        return found
    shown = repr(text if len(text) <= 60 else f"{text[:60]}...")
    regions = _load_regions().get(code)
    if regions is None:
        raise ValueError(f"{code} has no regions in ISO 3166-2: leave {shown} out")
    example = min(regions.codes)
    raise ValueError(
        f"{shown} is no region of {code} in ISO 3166-2: use its code, such as {example} for {code}-{example}"
    )


def list_ancestors(country: str, region: str) -> tuple[str, ...]:
    """Return a region and what it lies in, the smallest first: a rate of Lombardy is one of Milan too."""
    regions = _load_regions().get(country)
    found = [region]
    while regions is not None and (parent := regions.parents.get(found[-1])) is not None and parent not in found:
        found.append(parent)
    return tuple(found)


@cache
def _load_regions() -> dict[str, _Country]:
    # Its lists take some 100 ms to load, and not every process needs them.
    import pycountry  # noqa: PLC0415

    countries: dict[str, _Country] = {}
    named: list[tuple[int, str, str, str]] = []
    for row in pycountry.subdivisions:
        regions = countries.setdefault(row.country_code, _Country())
        code = _local(row.code)
        regions.codes.add(code)
        if row.parent_code:
            regions.parents[code] = _local(row.parent_code)
        named += [(bool(row.parent_code), row.country_code, code, name) for name in _spell(row)]
    # Of two regions with one name the larger is meant. Of two on one level the name finds neither.
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    for depth, country, code, name in sorted(named):
        letters = _letters(name)
        before = seen.setdefault((country, letters), (depth, code))
        if before == (depth, code):
            countries[country].names[letters] = code
        elif before[0] == depth:
            countries[country].names.pop(letters, None)
    for country, aliases in ALIASES.items():
        for name, code in aliases.items():
            countries[country].codes.add(code)
            countries[country].names[_letters(name)] = code
    return countries


def _local(code: str) -> str:
    return code.partition("-")[2] or code


def _spell(row: Any) -> Iterator[str]:
    """Yield the names in a name: `Catalunya [Cataluña]` has two, `Asturias, Principado de` has two orders."""
    outside = _IN_BRACKETS.sub(" ", row.name)
    inside = [first or second for first, second in _IN_BRACKETS.findall(row.name)]
    for name in {row.name, outside, *inside, *outside.split("/")}:
        yield name
        first, comma, second = name.partition(", ")
        if comma:
            yield f"{second} {first}"
            yield first


def _letters(text: str) -> str:
    """Return the letters and digits of a name, without accents."""
    folded = text.casefold() if is_plain(text) else unicodedata.normalize("NFKD", text.casefold())
    return _NO_LETTER.sub(" ", "".join(each for each in folded if not unicodedata.combining(each))).strip()
