"""Every link between documents leads to an existing file and heading."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.pages import PAGES, ROOT

LINK: Final = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
DOCUMENTS: Final = (*PAGES, ROOT / "CHANGELOG.md")


def list_anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, formed as GitHub forms them."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_broken(page: Path, text: str) -> list[str]:
    """Return the links of a page without a target."""
    broken = []
    for path, anchor in LINK.findall(text):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in list_anchors(target.read_text())):
            broken.append(f"{path}#{anchor}" if anchor else path)
    return broken


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_has_a_target(page: Path) -> None:
    assert find_broken(page, page.read_text()) == []


def test_a_broken_link_is_found() -> None:
    text = "[a](LICENSE) [b](docs/nowhere.md) [c](docs/glossary.md#checkouts) [d](docs/glossary.md#none)"
    assert find_broken(ROOT / "README.md", text) == ["docs/nowhere.md", "docs/glossary.md#none"]


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = {page.name: page.read_text() for page in folder.glob("*.md") if page.name != "index.md"}
    listed = dict(re.findall(r"^- \[(.+)\]\((.+)\)$", (folder / "index.md").read_text(), re.MULTILINE))

    assert {name: f"# {title}" for title, name in listed.items()} == {
        name: text.partition("\n")[0] for name, text in pages.items()
    }
    sections = {name: re.findall(r"^## (.+)$", text, re.MULTILINE) for name, text in pages.items()}
    assert set(map(tuple, sections.values())) == {("Context", "Decision", "Consequences")}
