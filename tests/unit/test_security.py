"""`security`: vulnerabilities and secrets are told, what is known to be none is not, and silence is not safety."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import security
from scripts.obstacles import Obstacle

#: Looks like a key of AWS's, and was never one.
KEY = "AKIA" + "Q3EGRIT7PLC4WZDA"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one file, and a baseline of none."""
    (tmp_path / "config.py").write_text(f'key = "{KEY}"\n')
    (tmp_path / security.BASELINE).write_text('{"results": {}}')
    for command in (["init", "-q"], ["add", "config.py"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_secret_is_told_with_its_place(checkout: Path) -> None:
    found = security.find_secrets(checkout)
    assert found == ["config.py:1: looks like a secret (AWS Access Key)"]
    assert KEY not in str(found)


def test_one_of_the_baseline_is_none_in_its_file_alone(checkout: Path) -> None:
    command = [sys.executable, "-m", "detect_secrets", "scan", "config.py"]
    scanned = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    (checkout / security.BASELINE).write_text(scanned.stdout)
    assert security.find_secrets(checkout) == []
    (checkout / "other.py").write_text((checkout / "config.py").read_text())
    subprocess.run(["git", "add", "other.py"], cwd=checkout, check=True)
    assert security.find_secrets(checkout) == ["other.py:1: looks like a secret (AWS Access Key)"]


def test_outside_of_a_checkout_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / security.BASELINE).write_text('{"results": {}}')
    with pytest.raises(Obstacle, match="secrets were not looked for"):
        security.find_secrets(tmp_path)


def test_a_vulnerability_is_told_with_what_mends_it_and_what_is_not_known_is_counted() -> None:
    packages: list[dict[str, Any]] = [
        {"name": "sound", "version": "1", "vulns": []},
        {"name": "ill", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"]}]},
        {"name": "lost", "version": "3", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]},
        {"name": "unheard", "skip_reason": "not found"},
    ]
    assert security.find_vulnerabilities(packages) == (
        ["ill 2.0: PYSEC-1, mended in 2.1 or 3.0", "lost 3: PYSEC-2, mended in none"],
        1,
    )
