"""Reports the refused rows of a file: the first on the screen, all of them in a file when they are many."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.importers.sheets import RowRefusal
from scripts.terminal.output import say

#: Refused rows that are printed. More are written to a file: a screen full of them hides the summary.
PRINTED: Final = 20


def keep_refused(refused: Sequence[RowRefusal], asked: Path | None, default: Path) -> Path | None:
    """Write the refused rows to the file `asked`, or to `default` when they are too many to print.

    Returns the written file, or None. Raises OSError when it cannot be written.
    """
    path = asked or (default if len(refused) > PRINTED else None)
    if path is None:
        return None
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "reason"))
        writer.writerows((refusal.row, refusal.reason) for refusal in refused)
    return path


def name_refused_file(file: Path) -> Path:
    """Return the default file for the refused rows of a file, in the current folder."""
    return Path(f"{file.stem}.refused.csv")


def print_refused(refused: Sequence[RowRefusal], kept: Path | None) -> None:
    """Print the refused rows, at most PRINTED of them when all are in a file."""
    for refusal in refused if kept is None else refused[:PRINTED]:
        say(f"row {refusal.row}: {refusal.reason}")
    if kept is not None:
        say(f"All {len(refused)} refused rows are in {kept}" if refused else f"No row was refused: see {kept}")
