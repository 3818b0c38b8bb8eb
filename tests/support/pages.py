"""The documents, and their blocks of code for the tests that run them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its page, line, language and text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        """Return its page and line."""
        return f"{self.page}-line-{self.line}"


def read_blocks(*languages: str) -> list[Block]:
    """Return every block in these languages, or every block."""
    found = [block for page in PAGES for block in _read(page)]
    return [block for block in found if not languages or block.language in languages]


def _read(page: Path) -> list[Block]:
    text = page.read_text()
    blocks = re.finditer(r"^```([a-z]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(page.name, text[: found.start()].count("\n") + 1, found[1], found[2]) for found in blocks]
