"""Production installs the tested versions, each with its hashes, and pip accepts them."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[3]
FILE: Final = ROOT / "scripts" / "requirements-production.txt"
PIN: Final = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==(\S+)(.*)$")
HASH: Final = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())
#: The packages that build the project's own package.
BUILD: Final = {Requirement(each).name for each in PROJECT["build-system"]["requires"]}


def read_pins(lines: list[str]) -> set[tuple[str, str, str]]:
    """Return each pin: name, version and marker; some names have one pin for each Python."""
    found = [PIN.match(line.removesuffix(" \\")) for line in lines]
    return {(each[1], each[2], each[3].replace(" ", "")) for each in found if each is not None}


def read_groups(text: str) -> list[list[str]]:
    """Return each requirement with the lines that continue it."""
    groups: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("    "):
            groups[-1].append(line)
        elif line and not line.startswith("#"):
            groups.append([line])
    return groups


GROUPS: Final = read_groups(FILE.read_text())


def test_every_pin_has_hashes_and_no_address_is_named() -> None:
    for head, *hashes in GROUPS:
        assert PIN.match(head.removesuffix(" \\")), head
        assert hashes, head
        assert all(HASH.match(line) for line in hashes), head
    assert "://" not in FILE.read_text()


def test_the_versions_are_those_that_are_tested() -> None:
    # Given the pins of both files
    tested = read_pins((ROOT / "scripts" / "constraints.txt").read_text().splitlines())
    pinned = read_pins([head for head, *_ in GROUPS])
    assert len(pinned) == len(GROUPS)
    # Then they agree, apart from markers of other systems; only the build packages are in one file alone
    versions = {(name, version) for name, version, _ in tested}
    assert {name for name, version, _ in pinned if (name, version) not in versions} == BUILD


def test_all_is_there_that_runs_and_nothing_that_only_tests() -> None:
    # Given the project's dependencies and their dependencies, as they are installed here
    wanted = [Requirement(each) for each in PROJECT["project"]["dependencies"]]
    needed: set[str] = set()
    while wanted:
        each = wanted.pop()
        name = canonicalize_name(each.name)
        extras = each.extras or {""}
        applies = each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if not applies or (name in needed and not each.extras):
            continue
        needed.add(name)
        for line in requires(each.name) or ():
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                inner.marker = None
                wanted.append(inner)
    pinned = {name for name, *_ in read_pins([head for head, *_ in GROUPS])}
    assert needed - pinned == set()
    assert pinned & {"pytest", "mypy", "ruff", "hypothesis", "playwright", "celery"} == set()


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pip without installing anything."""
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.slow
def test_pip_takes_them_with_hashes_required(tmp_path: Path) -> None:
    # Given all packages except the build packages: they are installed here, so that no registry is needed
    file = tmp_path / "requirements.txt"
    file.write_text("\n".join("\n".join(group) for group in GROUPS if PIN.match(group[0])[1] not in BUILD))  # type: ignore[index]
    done = install("install", "--dry-run", "--no-index", "--require-hashes", "-r", str(file))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_packages_of_a_registry_have_these_hashes(tmp_path: Path) -> None:
    # Given the smallest package, from the registry that pip is configured for
    [group] = [group for group in GROUPS if group[0].startswith("annotated-doc==")]
    file = tmp_path / "requirements.txt"
    file.write_text("\n".join(group))
    download = ("download", "--no-deps", "--no-cache-dir", "--retries", "0", "--timeout", "10", "-d", str(tmp_path))
    done = install(*download, "--require-hashes", "-r", str(file))
    if "hash" not in done.stderr.lower() and done.returncode:
        pytest.skip("No registry answers here: its packages cannot be compared with the hashes.")
    assert done.returncode == 0, done.stderr
    # And a changed file is refused
    file.write_text(re.sub("sha256:.", "sha256:" + "f", "\n".join(group)))
    done = install(*download, "--require-hashes", "-r", str(file))
    assert done.returncode == 1
    assert "do not match the hashes" in done.stderr.lower()
