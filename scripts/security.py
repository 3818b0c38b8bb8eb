"""Looks for known vulnerabilities of the pinned packages, and for secrets in the files: `python -m scripts.security`.

Exit codes: 0 nothing was found, 1 something was. What could not be looked for (advisories offline or behind a mirror,
secrets outside of a git checkout) is said, and with `--strict` is exit code 2.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from scripts.embedded import ROOT
from scripts.obstacles import Obstacle

#: Versions that are tested together, all of them pinned.
PINS: Final = "scripts/constraints.txt"
#: What looks like a secret and is none, made-up keys and hashes of examples; `detect-secrets scan --slim` writes it.
BASELINE: Final = ".secrets.baseline"
#: A hundred packages are asked for in five seconds; where nobody answers each would take its own time-out.
AUDIT_SECONDS: Final = 60
#: Nothing that was found is tried out over the network; the baseline holds hashes, which look like secrets too.
SCAN: Final = ("scan", "--no-verify", "--exclude-files", re.escape(BASELINE))
AUDIT: Final = ("pip_audit", "-r", PINS, "--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json")


def main(
    *, strict: Annotated[bool, typer.Option(help="Exit with 2 when something could not be looked for.")] = False
) -> None:
    """Look, and tell what was found, and what was not looked for."""
    found, unread = find_vulnerabilities(read_advisories())
    missed = [f"No advisories were to be had for {unread} packages: these were not audited."] if unread else []
    try:
        found += find_secrets(ROOT)
    except Obstacle as obstacle:
        missed.append(str(obstacle))
    for line in found:
        typer.echo(line)
    for line in missed:
        typer.echo(line, err=True)
    if not found:
        typer.echo("Nothing was found.")
    raise typer.Exit(1 if found else 2 if missed and strict else 0)


def read_advisories() -> list[dict[str, Any]]:
    """Return what PyPI knows of each pinned package, in pip-audit's words."""
    command = [sys.executable, "-m", *AUDIT]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS)
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        # It ends with a sentence instead of an object when nothing could be asked at all.
        pins = [line for line in (ROOT / PINS).read_text().splitlines() if "==" in line]
        found = [{"name": pin.partition("==")[0], "skip_reason": "nobody answered"} for pin in pins]
    return found


def find_vulnerabilities(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return a line for each vulnerability, and of how many packages nothing is known."""
    lines = [
        f"{package['name']} {package['version']}: {each['id']}, mended in {' or '.join(each['fix_versions']) or 'none'}"
        for package in packages
        for each in package.get("vulns", ())
    ]
    return lines, len([package for package in packages if "skip_reason" in package])


def find_secrets(root: Path) -> list[str]:
    """Return a line for each thing in what git keeps that looks like a secret and is not in the baseline.

    Raises Obstacle outside of a checkout.
    """
    if not (root / ".git").exists():
        raise Obstacle("This is no git checkout: secrets were not looked for.")
    command = [sys.executable, "-m", "detect_secrets", "--cores", str(os.cpu_count() or 1), *SCAN]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    known = {
        (file, each["type"], each["hashed_secret"]) for file, each in _list(json.loads((root / BASELINE).read_text()))
    }
    return [
        f"{file}:{each['line_number']}: looks like a secret ({each['type']})"
        for file, each in _list(json.loads(done.stdout))
        if (file, each["type"], each["hashed_secret"]) not in known
    ]


def _list(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for file, secrets in report["results"].items():
        for each in secrets:
            yield file, each


if __name__ == "__main__":
    typer.run(main)
