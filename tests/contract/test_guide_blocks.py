"""Every Python block of the guide, and of the page for authors of adapters, runs as it stands, alone."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGES: Final = ("guide.md", "gateways.md")


def read_blocks(page: str) -> list[tuple[str, str]]:
    text = (DOCS / page).read_text()
    blocks = re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(f"{page}-line-{text[: found.start()].count(chr(10)) + 1}", found[1]) for found in blocks]


BLOCKS: Final = [block for page in PAGES for block in read_blocks(page)]


@pytest.mark.parametrize(("name", "code"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_a_block_of_a_page_runs(name: str, code: str) -> None:
    assert "assert " in code
    exec(compile(code, name, "exec"), {"__name__": "page"})  # noqa: S102 - our own document


def test_the_pages_have_their_worked_examples() -> None:
    counts = Counter(name.partition("-")[0] for name, _ in BLOCKS)

    assert counts["guide.md"] >= 5
    assert counts["gateways.md"] >= 2
