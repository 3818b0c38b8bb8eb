"""`bench --only vendure`: what it refuses before anything starts, and the shop that it describes."""

import csv
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import bench
from scripts.benchmarks.peers.vendure.packages import MARKER, SOURCES, copy_programs, find_folder, install
from scripts.benchmarks.vendure_run import describe_shop, read_address
from scripts.environments.command_errors import CommandError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in PATH, empty, beside an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def write(programs: Path, name: str, script: str) -> None:
    """Write a program."""
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)


@pytest.mark.parametrize("missing", ["node", "npm"])
def test_a_machine_without_node_is_refused_before_anything_starts(missing: str, programs: Path) -> None:
    if missing == "npm":
        write(programs, "node", "echo v22.1.0")
    result = CliRunner().invoke(bench.app, ["--only", "vendure"])
    assert result.exit_code == 2
    assert result.output == (
        f"There is no {missing} in PATH: install Node.js 20 or newer with npm, or leave `vendure` out.\n"
    )
    assert not find_folder().exists()


def test_an_old_node_is_refused(programs: Path) -> None:
    write(programs, "node", "echo v18.19.0")
    write(programs, "npm", "exit 0")
    with pytest.raises(CommandError, match=r"^Vendure needs Node\.js 20 or newer, and this is v18\.19\.0\.$"):
        install(print)
    assert not find_folder().exists()


def test_a_registry_that_does_not_answer_is_named_and_tried_again(programs: Path) -> None:
    said: list[str] = []
    write(programs, "node", "echo v22.1.0")
    write(programs, "npm", "echo 'npm error network' >&2; exit 1")
    with pytest.raises(CommandError, match=r"npm could not install Vendure, .*: npm error network"):
        install(said.append)
    # When
    write(programs, "npm", "exit 0")
    install(said.append)
    # Then it is complete, and not installed a third time.
    write(programs, "npm", "exit 1")
    install(said.append)
    assert (find_folder() / MARKER).exists()
    assert said == [f"Vendure is installed into {find_folder()}; that takes minutes."] * 2


def test_the_programs_are_copied_beside_the_packages(programs: Path) -> None:
    find_folder().mkdir(parents=True)
    copied = copy_programs()
    assert sorted(each.name for each in copied.iterdir()) == ["config.js", "populate.js", "server.js", "worker.js"]


def test_nothing_is_reported_to_the_makers() -> None:
    # Vendure reads the variable when it is loaded.
    before_loading, _, _ = (SOURCES / "config.js").read_text().partition('require("@vendure/core")')
    assert 'process.env.VENDURE_DISABLE_TELEMETRY = "true";' in before_loading
    for program in ("populate.js", "server.js", "worker.js"):
        first_loaded = (SOURCES / program).read_text().partition("require(")[2]
        assert first_loaded.startswith('"./config.js")')


def test_versions_are_pinned_and_no_lock_file_is_kept() -> None:
    versions = json.loads((SOURCES / "package.json").read_text())["dependencies"].values()
    assert all(version.replace(".", "").isdigit() for version in versions)
    assert list(SOURCES.glob("*lock*")) == []


def test_a_shop_has_products_and_an_address(tmp_path: Path) -> None:
    place = describe_shop(tmp_path, 3000, "postgresql://ada:secret@db.example:5433/shop")
    shop = json.loads(place.read_text())
    assert shop["port"] == 3000
    assert list(shop["database"]) == ["host", "port", "username", "password", "database"]
    assert list(shop["database"].values()) == ["db.example", 5433, "ada", "secret", "shop"]
    assert os.stat(place).st_mode & 0o077 == 0
    with Path(shop["products"]).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 100
    assert (rows[0]["sku"], rows[0]["price"], rows[0]["stockOnHand"]) == ("bench-1", "19.99", "4800")


def test_an_address_may_be_the_folder_of_a_socket() -> None:
    assert read_address("postgresql://postgres@/shop?host=/run/pg") == {
        "host": "/run/pg",
        "port": 5432,
        "username": "postgres",
        "database": "shop",
    }
