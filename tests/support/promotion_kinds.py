"""The table of promotion kinds in docs/recipes.md, for the tests that compare it with the code and with the schema."""

import re

from tests.support.pages import ROOT


def read_kinds() -> dict[str, list[str]]:
    """Return each kind with the columns that it needs."""
    table = (ROOT / "docs" / "recipes.md").read_text().partition("| kind | columns that it needs |")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| .+ \|$", table, re.MULTILINE)
    return {kind: re.findall(r"`(\w+)`", columns) for kind, columns in rows}
