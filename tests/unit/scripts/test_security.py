"""`security`: vulnerabilities and secrets are told, what is known to be none is not, and silence is not safety."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from scripts import security
from scripts.environments.command_errors import CommandError

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
    with pytest.raises(CommandError, match="secrets were not looked for"):
        security.find_secrets(tmp_path)


def test_a_vulnerability_is_told_with_what_mends_it_and_what_is_not_known_is_counted() -> None:
    packages: list[dict[str, Any]] = [
        {"name": "sound", "version": "1", "vulns": []},
        {"name": "ill", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"]}]},
        {"name": "lost", "version": "3", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]},
        {"name": "unheard", "skip_reason": "not found"},
    ]
    assert security.find_vulnerabilities(packages) == (
        ["ill 2.0: PYSEC-1, fixed in 2.1 or 3.0", "lost 3: PYSEC-2, fixed in none"],
        1,
    )


class Index(BaseHTTPRequestHandler):
    """An index of packages: what it says depends on what is asked for."""

    def do_GET(self) -> None:
        """Answer, or drip, or hang up."""
        name = self.path.split("/")[1]
        if name == "gone":
            self.send_error(404)
            return
        if name == "broken":
            return
        self.send_response(200)
        self.end_headers()
        if name == "dripping":
            try:
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
            except OSError:
                return
        bodies = {"mirror": {"info": {}}, "list": [], "sound": {"vulnerabilities": []}}
        self.wfile.write(b"<html>" if name == "html" else json.dumps(bodies.get(name)).encode())

    def log_message(self, *_given: Any) -> None:
        """Say nothing."""


@pytest.fixture
def index() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "answered"),
    [("sound", True), *((name, False) for name in ("gone", "broken", "mirror", "list", "html", "null"))],
)
def test_an_index_without_advisories_is_none(index: str, name: str, *, answered: bool) -> None:
    assert security.is_answered(f"{index}/{name}/1/json") is answered


def test_one_that_drips_or_is_not_there_is_given_up(index: str) -> None:
    # Given one that would take ten seconds: it is given up after a tenth of that
    assert not security.is_answered(f"{index}/dripping/1/json", seconds=0.3)
    assert not security.is_answered("http://127.0.0.1:1/x/1/json")
    assert not security.is_answered("http://nobody.invalid/x/1/json")


def look(monkeypatch: pytest.MonkeyPatch, packages: list[dict[str, Any]], *arguments: str) -> Result:
    """Run it with these packages known, and no secrets."""
    app = typer.Typer()
    app.command()(security.main)
    monkeypatch.setattr(security, "read_advisories", lambda: packages)
    monkeypatch.setattr(security, "find_secrets", lambda _: [])
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--strict",), 1)])
def test_what_was_not_looked_at_is_not_said_to_be_well(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    # Given that no advisory could be read
    monkeypatch.setattr(security, "is_answered", lambda _: False)
    packages = security.read_advisories()
    assert len(packages) > 100
    assert all("skip_reason" in each for each in packages)
    # Then it says so
    result = look(monkeypatch, packages, *arguments)
    assert result.exit_code == code
    assert result.stderr.startswith(f"Advisories could not be read for {len(packages)} of {len(packages)} packages:")
    assert result.stdout == "No secret was found in the files.\n"


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--strict",), 1)])
def test_what_was_looked_at_in_part_is_said_of_that_part(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    packages: list[dict[str, Any]] = [
        {"name": "a", "version": "1", "vulns": []},
        {"name": "b", "skip_reason": "not found"},
    ]
    result = look(monkeypatch, packages, *arguments)
    assert result.exit_code == code
    assert "Advisories could not be read for 1 of 2 packages" in result.stderr
    assert "Packages looked up without a known vulnerability: 1." in result.stdout


@pytest.mark.parametrize("arguments", [(), ("--strict",)])
def test_all_is_looked_at(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    sound = [{"name": "a", "version": "1", "vulns": []}]
    result = look(monkeypatch, sound, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    ill = [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]
    result = look(monkeypatch, ill, *arguments)
    assert result.exit_code == 1
    assert "a 1: PYSEC-1, fixed in 2" in result.stdout
    assert "without a known" not in result.stdout
