"""`security` reports vulnerabilities and secrets, no known false positives, and what it could not check."""

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

#: Looks like an AWS key, and never was one.
KEY = "AKIA" + "Q3EGRIT7PLC4WZDA"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with one file, and an empty baseline."""
    (tmp_path / "config.py").write_text(f'key = "{KEY}"\n')
    (tmp_path / security.BASELINE).write_text('{"results": {}}')
    for command in (["init", "-q"], ["add", "config.py"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_secret_is_reported_with_its_place(checkout: Path) -> None:
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


def test_outside_a_git_checkout_the_check_fails(tmp_path: Path) -> None:
    (tmp_path / security.BASELINE).write_text('{"results": {}}')
    with pytest.raises(CommandError, match="secrets were not looked for"):
        security.find_secrets(tmp_path)


def test_a_vulnerability_is_reported_with_its_fix_and_unchecked_packages_are_counted() -> None:
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
    """A package index whose response depends on the package."""

    def do_GET(self) -> None:
        """Respond, respond slowly, or close the connection."""
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
        """Log nothing."""


@pytest.fixture
def index() -> Iterator[str]:
    """The address of the index."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "answered"),
    [("sound", True), *((name, False) for name in ("gone", "broken", "mirror", "list", "html", "null"))],
)
def test_an_index_without_advisories_is_none(index: str, name: str, *, answered: bool) -> None:
    assert security.is_answered(f"{index}/{name}/1/json") is answered


def test_a_slow_or_absent_index_times_out(index: str) -> None:
    # Given an index that takes ten seconds
    assert not security.is_answered(f"{index}/dripping/1/json", seconds=0.3)
    assert not security.is_answered("http://127.0.0.1:1/x/1/json")
    assert not security.is_answered("http://nobody.invalid/x/1/json")


def test_a_name_that_cannot_be_resolved_holds_nobody() -> None:
    # Given a resolver that takes a minute, and has no time-out
    program = (
        "import socket, time; socket.getaddrinfo = lambda *_, **__: time.sleep(60);"
        "from scripts import security; print(security.is_answered('http://nobody.invalid/', seconds=0.2))"
    )
    # Then the process ends before that
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=40)
    assert done.stdout == "False\n"


def run(monkeypatch: pytest.MonkeyPatch, packages: list[dict[str, Any]], *arguments: str) -> Result:
    """Run the command with these packages, and no secrets."""
    app = typer.Typer()
    app.command()(security.main)
    monkeypatch.setattr(security, "read_advisories", lambda: packages)
    monkeypatch.setattr(security, "find_secrets", lambda _: [])
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--strict",), 1)])
def test_unchecked_packages_are_not_reported_as_safe(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    # Given that no advisory could be read
    monkeypatch.setattr(security, "is_answered", lambda _: False)
    packages = security.read_advisories()
    assert len(packages) > 100
    assert all("skip_reason" in each for each in packages)
    # Then they are reported as unchecked
    result = run(monkeypatch, packages, *arguments)
    assert result.exit_code == code
    assert result.stderr.startswith(f"Advisories could not be read for {len(packages)} of {len(packages)} packages:")
    assert result.stdout == "No secret was found in the files.\n"


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--strict",), 1)])
def test_a_partial_check_reports_only_the_checked_packages(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    packages: list[dict[str, Any]] = [
        {"name": "a", "version": "1", "vulns": []},
        {"name": "b", "skip_reason": "not found"},
    ]
    result = run(monkeypatch, packages, *arguments)
    assert result.exit_code == code
    assert "Advisories could not be read for 1 of 2 packages" in result.stderr
    assert "Packages looked up without a known vulnerability: 1." in result.stdout


@pytest.mark.parametrize("arguments", [(), ("--strict",)])
def test_all_packages_are_checked(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    sound = [{"name": "a", "version": "1", "vulns": []}]
    result = run(monkeypatch, sound, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    ill = [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]
    result = run(monkeypatch, ill, *arguments)
    assert result.exit_code == 1
    assert "a 1: PYSEC-1, fixed in 2" in result.stdout
    assert "without a known" not in result.stdout
