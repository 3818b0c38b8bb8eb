"""Countries by ISO 3166-1 and regions by ISO 3166-2, from whatever people write."""

# ruff: noqa: RUF001 (letters that look alike are the matter)

import pycountry
import pytest

from models.identifiers import find_region, list_ancestors, normalize_country, normalize_region


@pytest.mark.parametrize(
    ("text", "code"), [("DE", "DE"), ("de", "DE"), (" gb ", "GB"), ("ｕｓ", "US"), ("u\u200bs", "US"), ("xk", "XK")]
)
def test_a_country_is_two_letters_of_iso_3166(text: str, code: str) -> None:
    """Case, blanks and width mean nothing."""
    assert normalize_country(text) == code


def test_every_country_of_iso_3166_is_accepted_and_no_other_pair_of_letters() -> None:
    """676 pairs of letters: 249 countries, and Kosovo."""
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    taken = set()
    for pair in (first + second for first in letters for second in letters):
        try:
            taken.add(normalize_country(pair))
        except ValueError:
            continue
    assert taken == {country.alpha_2 for country in pycountry.countries} | {"XK"}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("UK", "use GB"), ("uk", "use GB"), ("EL", "use GR"), ("XI", "use GB, with a region"),
        ("AN", "use CW, SX or BQ"),
        ("YU", "use RS or ME"), ("CS", "use RS, ME, CZ or SK"),
        ("SU", "use RU"), ("DEU", "use DE"), ("Germany", "use DE"),
        ("XX", "use two letters such as DE"), ("ZZ", "use two letters such as DE"), ("", "use two letters such as DE"),
        ("\u200b", "use two letters such as DE"), ("D" * 10_000, "use two letters"),
    ],
)  # fmt: skip
def test_what_is_no_country_is_refused_with_what_to_write(text: str, hint: str) -> None:
    """The other standard's code, the old country's, three letters, a name."""
    with pytest.raises(ValueError, match=f"is no country of ISO 3166: {hint}"):
        normalize_country(text)


@pytest.mark.parametrize(
    ("country", "text", "code"),
    [
        *(("US", text, "CA") for text in ("CA", "ca", "US-CA", "us-ca", "California", "c\u200ba ", "ｃａ")),
        *(("CA", text, "QC") for text in ("QC", "Québec", "Quebec", "Que\u0301bec", "ca-qc", "PQ")),
        *(("DE", text, "BY") for text in ("BY", "Bayern", "Bavaria", "DE-BY")),
        *(("ES", text, "CN") for text in ("CN", "Canarias", "Canary Islands", "canárias")),
        ("US", "Washington D.C.", "DC"), ("US", "Washington", "WA"), ("US", "AE", "AE"), ("BR", "sao paulo", "SP"),
        ("JP", "Tokyo", "13"), ("ES", "Asturias", "AS"), ("ES", "Principado de Asturias", "AS"), ("IN", "Orissa", "OD"),
    ],
)  # fmt: skip
def test_a_region_is_found_by_code_and_by_name(country: str, text: str, code: str) -> None:
    """Case, accents, blanks, the country before it, and names in daily use."""
    assert find_region(country, text) == code
    assert normalize_region(country.lower(), text) == code


@pytest.mark.parametrize(
    ("country", "text", "sentence"),
    [
        ("US", "Californien", "'Californien' is no region of US in ISO 3166-2: use its code, such as"),
        ("US", "CA-QC", "is no region of US"),
        ("US", "", "is no region of US"),
        ("EE", "Tartu", "is no region of EE"),  # a county and a town: the name says not which
        ("GG", "St Peter Port", "GG has no regions in ISO 3166-2: leave 'St Peter Port' out"),
        ("UK", "Kent", "use GB"),
        ("US", "x" * 10_000, r"x\.\.\.' is no region of US"),
    ],
)
def test_what_is_no_region_is_refused(country: str, text: str, sentence: str) -> None:
    """Unknown, of another country, or a name of two."""
    with pytest.raises(ValueError, match=sentence):
        normalize_region(country, text)


def test_every_region_of_iso_3166_2_is_found_by_its_own_code() -> None:
    """All 5,046, with their country and without."""
    for row in pycountry.subdivisions:
        code = row.code.partition("-")[2]
        assert find_region(row.country_code, row.code.lower()) == code
        assert normalize_region(row.country_code, code) == code


def test_a_region_lies_in_larger_ones() -> None:
    """Milan in Lombardy; California in none."""
    assert list_ancestors("IT", "MI") == ("MI", "25")
    assert list_ancestors("GB", "KEN") == ("KEN", "ENG")
    assert list_ancestors("US", "CA") == ("CA",)
    assert list_ancestors("US", "nowhere") == ("nowhere",)
