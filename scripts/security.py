"""Checks the pinned packages for known vulnerabilities and the files for secrets, as `checkout security`.

Exit codes: 0 nothing was found, 1 something was. A check that could not run (advisories offline or behind a mirror,
secrets outside a git checkout) is reported as such, never as a clean result; with `--strict` it is exit code 1.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import requests
import typer

from scripts.environments.command_errors import CommandError
from scripts.local_servers.embedded import ROOT
from scripts.terminal.output import say

#: Versions that are tested together, all of them pinned.
PINS: Final = "scripts/constraints.txt"
#: The versions that production installs, each with its hashes, which look like secrets and are none.
HASHES: Final = "scripts/requirements-production.txt"
#: Known false positives, such as made-up keys and hashes of examples; `detect-secrets scan --slim` writes the file.
BASELINE: Final = ".secrets.baseline"
#: Where pip-audit reads advisories, one package and version at a time.
ADVISORIES: Final = "https://pypi.org/pypi"
#: The longest wait for its first answer; resolving a name has no time-out of its own.
PROBE_SECONDS: Final = 8.0
#: A hundred packages take five seconds; without answers each would take its own time-out.
AUDIT_SECONDS: Final = 60
#: Found secrets are not verified over the network; the baseline holds hashes, which look like secrets too.
SCAN: Final = ("scan", "--no-verify", "--exclude-files", f"{re.escape(BASELINE)}|{re.escape(HASHES)}")
AUDIT: Final = (
    *("pip_audit", "-r", PINS, "--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json"),
    *("--timeout", "5"),
)


def main(*, strict: Annotated[bool, typer.Option(help="Exit with 1 when a check could not run.")] = False) -> None:
    """Scan packages and files; report what was found, and what was not checked."""
    vulnerable, unread = list_vulnerabilities(read_advisories())
    try:
        secrets = find_secrets(ROOT)
    except CommandError as error:
        say(str(error), err=True)
        raise typer.Exit(1 if vulnerable or strict else 0) from None
    for line in secrets or ["No secret was found in the files."]:
        say(line)
    raise typer.Exit(1 if vulnerable or secrets or (unread and strict) else 0)


def list_vulnerabilities(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Print the vulnerabilities of these packages; first how many packages could not be checked."""
    vulnerable, unread = find_vulnerabilities(packages)
    if unread:
        say(
            f"Advisories could not be read for {unread} of {len(packages)} packages: whether they have known"
            f" vulnerabilities was not looked for. Run this where {ADVISORIES} can be reached.",
            err=True,
        )
    for line in vulnerable:
        say(line)
    if unread < len(packages) and not vulnerable:
        say(f"Packages looked up without a known vulnerability: {len(packages) - unread}.")
    return vulnerable, unread


def read_advisories() -> list[dict[str, Any]]:
    """Return what PyPI knows of each pinned package, in pip-audit's format; first check that PyPI answers."""
    pins = [line.partition(";")[0].strip() for line in (ROOT / PINS).read_text().splitlines() if "==" in line]
    pins = [pin for pin in pins if not pin.startswith("#")]
    unread = [{"name": pin.partition("==")[0], "skip_reason": "no answer"} for pin in pins]
    if not pins or not is_answered(f"{ADVISORIES}/{pins[0].replace('==', '/')}/json"):
        return unread
    command = [sys.executable, "-m", *AUDIT]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS)
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError, KeyError):
        # pip-audit prints a sentence instead of an object when it reached nothing at all.
        return unread
    return found


def is_answered(url: str, *, seconds: float = PROBE_SECONDS) -> bool:
    """Return whether this address names a package's vulnerabilities within so many seconds."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            answers.append("vulnerabilities" in requests.get(url, timeout=seconds).json())
        except (requests.RequestException, ValueError, TypeError):
            answers.append(False)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answers == [True]


def find_vulnerabilities(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return a line for each vulnerability, and how many packages could not be checked."""
    lines = [
        f"{package['name']} {package['version']}: {each['id']}, fixed in {' or '.join(each['fix_versions']) or 'none'}"
        for package in packages
        for each in package.get("vulns", ())
    ]
    return lines, len([package for package in packages if "skip_reason" in package])


def find_secrets(root: Path) -> list[str]:
    """Return a line for each possible secret in the files of git that is not in the baseline.

    Raises CommandError outside a git checkout.
    """
    if not (root / ".git").exists():
        raise CommandError("This is no git checkout: secrets were not looked for.")
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
