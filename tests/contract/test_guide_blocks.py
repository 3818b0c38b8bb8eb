"""Every Python block of the guide runs as it stands, alone."""

import re
from pathlib import Path
from typing import Final

import pytest

GUIDE: Final = Path(__file__).resolve().parents[2] / "docs" / "guide.md"
BLOCKS: Final = [
    (GUIDE.read_text()[: found.start()].count("\n") + 1, found[1])
    for found in re.finditer(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize("code", [code for _, code in BLOCKS], ids=[f"line-{line}" for line, _ in BLOCKS])
def test_a_block_of_the_guide_runs(code: str) -> None:
    assert "assert " in code
    exec(compile(code, str(GUIDE), "exec"), {"__name__": "guide"})  # noqa: S102 - our own document


def test_the_guide_has_the_worked_examples() -> None:
    assert len(BLOCKS) >= 5
