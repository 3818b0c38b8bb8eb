"""The guide's table of findings matches the code."""

import re
from pathlib import Path
from typing import Final

from pipeline.reconciliation import FindingKind

GUIDE: Final = Path(__file__).resolve().parents[2] / "docs" / "guide.md"


def test_the_guide_lists_every_finding() -> None:
    section = re.search(r"^## Reconciliation\n(.*?)^## ", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert section is not None
    assert re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE) == [kind.value for kind in FindingKind]
