"""The documents use the words of docs/glossary.md, and no phrase that a second-language reader must guess."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.pages import PAGES, ROOT

BANNED: Final = re.compile(
    r"\b(ever more rarely|taken for lost|let(ting)? go|let be|g[ia]ve(n|s)? back|giving back|turn(s|ed) up|held against"
    r"|c[oa]me to rest|no trace|mend(s|ed)?|ours|theirs|tells?|told)\b",
    re.IGNORECASE,
)
#: The glossary lists words that are not used.
PROSE: Final = [page for page in (*PAGES, ROOT / "CHANGELOG.md") if page.name != "glossary.md"]


def find_banned(text: str) -> list[str]:
    """Return the banned phrases of a page's prose. Code and the sentences of error codes have their own tests."""
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    codes = prose.partition("| code | sentence |")
    prose = codes[0] + codes[2].partition("\n\n")[2]
    return [found[0] for found in BANNED.finditer(prose)]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_banned_phrase(page: Path) -> None:
    assert find_banned(page.read_text()) == []


def test_a_banned_phrase_is_found() -> None:
    text = "It is let go.\n\n| code | sentence |\n|---|---|\n| `a` | It was let go. |\n\nMoney turned up, `told`.\n"
    assert find_banned(text) == ["let go", "turned up"]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 250
