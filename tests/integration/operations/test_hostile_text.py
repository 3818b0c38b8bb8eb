"""Texts of buyers, providers and files are shown, and cannot act on a screen."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
import typer
import typer.rich_utils
from sqlalchemy import Engine, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from models.tables import Base
from pipeline.settings import Settings
from scripts import audit, catalog, checkouts, cleanup, diagnose, keys, monitor, release, replay, retry, webhooks
from scripts.importers.sheets import RowRefusal
from scripts.invoice_replay.invoices import InvoiceFile
from scripts.terminal.output import Screen
from tests.support.harness import Shelf, Works

#: Markup that is not closed, a link, a cleared screen, a C1 escape, a turned line, a forged line, and what is not seen.
HOSTILE: Final = (
    "[/x][bold red]:bomb: \x1b]8;;http://evil.example\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\r\nok all is well\t\u200b"
    "\u2028"
)
#: A part of it that is plain text.
READABLE: Final = "http://evil.example"
#: Nothing of this kind may reach a terminal.
FORBIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
#: Colours, and what a progress line does, of rich's own making. None of it is in the hostile text.
COLOURS: Final = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[hl]|[0-9]*[AK])|\r(?=\x1b)")

#: Names that the engine's code depends on: with them changed, the engine would be another.
WRITTEN_BY_THE_ENGINE: Final = {("payments", "gateway"), ("heartbeats", "name"), ("sandbox.payments", "reference")}


@pytest.fixture(params=["pipe", "terminal"])
def shown_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the views are seen."""
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "200")
    return str(request.param)


@pytest.fixture
def ids(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[UUID]]:
    """A shop of every kind of row, in which every text that can be is hostile."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_GATEWAY", "sandbox")
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_coupon("TEN")
    shelf.add_tax("0.2")
    app_keys = typer_app(keys)
    assert (
        CliRunner().invoke(app_keys, ["create", "--owner", "shop-1", "--name", "n", "--scope", "checkout"]).exit_code
        == 0
    )
    hook = ["add", "https://93.184.216.34/x", "--owner", "shop-1"]
    assert CliRunner().invoke(typer_app(webhooks), hook).exit_code == 0
    made = [
        works.start(shelf.add_cart(("cup", 1), coupon_codes=["TEN"]), token=token, reference="r")
        for token in ("tok_ok", "tok_declined", "tok_3ds", None)
    ]
    works.pump()
    shelf.run("UPDATE webhook_deliveries SET status = 'dead_lettered', due_at = NULL, last_error = 'x'")
    shelf.run("INSERT INTO rejected_messages (queue, body, code, message) VALUES ('q', 'b', 'c', 'm')")
    wrecked = wreck(engine)
    assert len(wrecked) >= 40, sorted(wrecked)
    assert {("checkouts", "reference"), ("variants", "title"), ("order_lines", "sku"), ("events", "kind")} <= wrecked
    yield made
    with engine.begin() as connection:
        # What was broken on purpose is not for the audit at the end of each test.
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in Base.metadata.sorted_tables:
            connection.exec_driver_sql(f"DELETE FROM {table.fullname}")


def wreck(engine: Engine) -> set[tuple[str, str]]:
    """Write hostile text wherever the schema allows it; return the tables and columns."""
    wrecked = set()
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in Base.metadata.sorted_tables:
            for column in table.columns:
                if (table.fullname, column.name) in WRITTEN_BY_THE_ENGINE or column.name in {
                    "fingerprint",
                    "hash",
                    "secret",
                }:
                    continue
                if isinstance(column.type, JSONB):
                    change = f"{column.name} || jsonb_build_object(CAST(:h AS text), CAST(:h AS text))"
                    where = f"jsonb_typeof({column.name}) = 'object'"
                elif isinstance(column.type, Text):
                    change, where = f"{column.name} || :h || ctid::text", f"{column.name} IS NOT NULL"
                else:
                    continue
                for hostile in (HOSTILE + "W" * 3000, HOSTILE):
                    try:
                        with connection.begin_nested():
                            sql = text(f"UPDATE {table.fullname} SET {column.name} = {change} WHERE {where}")
                            changed = connection.execute(sql, {"h": hostile}).rowcount
                    except DBAPIError:
                        continue
                    if changed:
                        wrecked.add((table.fullname, column.name))
                    break
    return wrecked


def typer_app(module: object) -> typer.Typer:
    """Return a command's application."""
    found = getattr(module, "app", None)
    if isinstance(found, typer.Typer):
        return found
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(module.main)  # type: ignore[attr-defined]
    return app


def look(module: object, *arguments: object, codes: Sequence[int] = (0,)) -> str:
    """Run a command; returns what it shows, which can do nothing."""
    result = CliRunner().invoke(typer_app(module), [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in codes, result.output
    return check(result.stdout + result.stderr)


def check(shown: str) -> str:
    """Assert that text can do nothing, and return it without colours."""
    bare = COLOURS.sub("", shown)
    assert FORBIDDEN.search(bare) is None, FORBIDDEN.search(bare)
    assert "Traceback" not in bare
    if shown == bare and "FORCE_COLOR" not in os.environ:
        # No text has made a line of its own; on a terminal, cells are broken where the column ends.
        assert not [line for line in bare.splitlines() if line.startswith("ok all is well")]
    return bare


def test_every_view_of_hostile_rows(ids: list[UUID], shown_in: str) -> None:
    listed = look(checkouts)
    assert READABLE in listed or shown_in == "terminal"
    assert "[/x]" in listed or shown_in == "terminal"
    for each in ids:
        told = look(diagnose, "--checkout", each)
        assert "evil.example" in told.replace("\n", "")
    look(diagnose, codes=(0, 1))
    look(monitor)
    look(audit, codes=(0, 1))
    look(audit, "--gateway", codes=(0, 1))
    assert READABLE in look(webhooks, "deliveries", "--dead-lettered") or shown_in == "terminal"
    look(webhooks, "list")
    assert READABLE in look(keys, "list") or shown_in == "terminal"
    look(cleanup)
    look(release, ids[0], "--reason", HOSTILE, codes=(0, 1, 2))
    look(retry, ids[1], "--reason", HOSTILE, codes=(0, 1, 2))


def test_json_is_ascii_and_whole(ids: list[UUID]) -> None:
    for module, arguments in (
        (checkouts, ()),
        (keys, ("list",)),
        (webhooks, ("list",)),
        (diagnose, ("--checkout", ids[0])),
    ):
        shown = look(module, *arguments, "--json")
        assert shown.isascii()
        assert "\\u001b" in shown


@pytest.mark.usefixtures("works")
def test_files_and_arguments(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shelf: Shelf, shown_in: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_GATEWAY", "sandbox")
    cell = HOSTILE.replace("\r\n", " ").replace("\u2028", " ").replace('"', "")
    products = tmp_path / "products.csv"
    products.write_text(
        "Handle,Title,Variant SKU,Variant Inventory Qty,Variant Inventory Policy,Variant Price\n"
        f'"{cell}","{cell}","{cell}","{cell}","{cell}","{cell}"\nb,Cup,cup,1,deny,2.50\n'
    )
    assert READABLE in look(catalog, "import", products, "--currency", "EUR", codes=(0, 1, 3))
    look(catalog, "stock", cell, "1", "--location", cell, codes=(0, 1, 2))
    look(catalog, "import", tmp_path / cell.replace("/", ""), "--currency", "EUR", codes=(1, 2))
    taxes = tmp_path / "taxes.csv"
    taxes.write_text(f'Country,State,Rate,Name\n"{cell}","{cell}","{cell}","{cell}"\n')
    look(catalog, "tax", taxes, codes=(0, 1, 2, 3))


def test_a_file_of_invoices(capsys: pytest.CaptureFixture[str], shown_in: str) -> None:
    notes = Screen(stderr=True, soft_wrap=True)
    refused = (RowRefusal(2, f"the quantity {HOSTILE} is none"),)
    found = InvoiceFile(rows=1, invoices=(), refused=refused, encoding="utf-8")
    replay._report_file(notes, Path(HOSTILE.replace("/", "")), found)
    shown = check(capsys.readouterr().err)
    assert READABLE in shown
    assert "[/x]" in shown
