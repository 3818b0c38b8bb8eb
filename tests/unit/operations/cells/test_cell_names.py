"""Names of cells, and the order numbers of each."""

import itertools
import re
import string
from typing import Any

import pytest
from pydantic import SecretStr

from models.cells import NUMBERS, check_cell_name, find_cell, find_number_base
from pipeline.settings import Settings, SettingsError, read_settings

LETTERS = string.ascii_lowercase
BOTH = LETTERS + string.digits
ALL = ["".join(each) for length in range(3) for each in itertools.product(LETTERS, *[BOTH] * length)]


def test_no_two_cells_have_a_number_in_common() -> None:
    bases = sorted(find_number_base(name) for name in ALL)
    assert len(ALL) == 34_658
    assert bases == [NUMBERS * place for place in range(1, len(ALL) + 1)]
    assert bases[-1] + NUMBERS < 2**53


def test_a_number_names_its_cell() -> None:
    assert {find_cell(find_number_base(name) + drawn) for name in ALL for drawn in (1001,)} == set(ALL)
    assert (find_cell(find_number_base("a") + 1), find_cell(find_number_base("a") + NUMBERS - 1)) == ("a", "a")
    assert (find_number_base(""), find_cell(1001), find_cell(NUMBERS - 1)) == (0, "", "")
    with pytest.raises(ValueError, match="no cell draws such a number"):
        find_cell(NUMBERS * (len(ALL) + 1))
    with pytest.raises(ValueError, match="no cell draws such a number"):
        find_cell(-1)


@pytest.mark.parametrize("name", ["A", "1a", "", "a b", "a_b", "abcd", "ä", "a\n", "eu-", "è1", "a\u0661"])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a cell is named by a lower-case letter"):
        check_cell_name(name)


def test_the_setting_is_checked() -> None:
    urls: dict[str, Any] = {"database_url": SecretStr("x"), "redis_url": SecretStr("x")}
    assert Settings(_env_file=None, **urls).cell == ""
    assert read_settings(**urls, cell="eu1").cell == "eu1"
    said = (
        "Set CHECKOUT_CELL: a cell is named by a lower-case letter and up to two lower-case letters or digits, as eu1."
    )
    with pytest.raises(SettingsError, match=f"^{re.escape(said)}$"):
        read_settings(**urls, cell="Europe")
