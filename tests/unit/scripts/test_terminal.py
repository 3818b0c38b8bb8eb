"""No output can control a terminal or a page, and every command prints through one module."""

import ast
import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from pipeline.security.printable import HIDDEN, make_printable, show_in_page
from scripts.example_shop.web import load_pages
from scripts.terminal.output import Screen, plain, say, say_json, say_row
from workers.web.admin.templates import _load

ROOT: Final = Path(__file__).resolve().parents[3]
#: These print only their own texts: dev.py has only the standard library, programs read owner.py's output.
EXEMPT: Final = {"output.py", "dev.py", "owner.py"}

#: Functions that print without escaping.
UNSAFE: Final = {"typer.echo", "typer.secho", "click.echo", "Console", "Text", "sys.stdout.write", "sys.stderr.write"}
#: These print addresses and keys that they made themselves.
OWN_TEXTS: Final = {"up.py", "shop.py"}


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("Ada Lovelace, Zoë, 北京, 😀", "Ada Lovelace, Zoë, 北京, 😀"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
        ("\x1b]8;;http://x\x07link", "\\x1b]8;;http://x\\x07link"),
        ("a\r\nb\tc\x00", "a\\r\\nb\\tc\\x00"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("a\u200bb\ufeffc\u2028d\xad", "a\\u200bb\\ufeffc\\u2028d\\xad"),
        ("\U000e0041tag", "\\U000e0041tag"),
        ("half \ud800", "half \\ud800"),
        ("[/x][bold]", "[/x][bold]"),
        ("x" * 2001, "x" * 2000 + "… (2001 characters)"),
        (None, "None"),
    ],
)
def test_invisible_characters_are_shown_as_their_codes(given_text: object, shown: str) -> None:
    assert make_printable(given_text) == shown
    assert make_printable(shown, most=None) == shown


@given(st.text(max_size=200))
def test_any_text_becomes_one_printable_line(foreign: str) -> None:
    shown = make_printable(foreign)
    assert all(each.isprintable() or each.isspace() for each in shown)
    assert shown.splitlines() in ([shown], [])
    assert shown.isprintable() or re.search(r"\s", shown)
    # Visible characters stay, in order.
    left = iter(shown)
    assert all(each in left for each in foreign if each.isalnum() and unicodedata.category(each) not in HIDDEN)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_no_cell_makes_a_row_or_a_column(cells: list[str]) -> None:
    line = "\t".join(make_printable(each) for each in cells)
    assert line.count("\t") == len(cells) - 1
    assert "\n" not in line


def test_a_console_takes_text_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(width=60)
    table = Table("[/x]", box=None)
    table.add_row("[bold]a\x1b[2J")
    screen.print("[/x] :bomb: \x1b]0;title\x07", table, plain("\x9b[/y]", "red"))
    assert capsys.readouterr().out.split() == [
        "[/x]",
        ":bomb:",
        "\\x1b]0;title\\x07",
        "[/x]",
        "[bold]a\\x1b[2J",
        "\\x9b[/y]",
    ]


def test_lines_rows_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb")
    say("c\x1b", err=True)
    say()
    say_row(["a\tb", None, 3])
    say_json({"a": "\x1b\u202eé"})
    shown = capsys.readouterr()
    assert shown.out == 'a\\nb\n\na\\tb\tNone\t3\n{"a": "\\u001b\\u202e\\u00e9"}\n'
    assert shown.err == "c\\x1b\n"


def test_a_character_outside_the_streams_encoding_is_shown_as_its_code() -> None:
    script = "from scripts.terminal.output import say, say_row; say('Zoë 😀'); say_row(['北'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONIOENCODING": "latin-1", "PATH": ""},
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"Zo\xeb \\U0001f600\n\\u5317\n"


def list_unsafe_prints(path: Path) -> list[str]:
    """Return the places where a script prints without the output module."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        is_harmless = all(isinstance(each, ast.Constant) or "make_printable" in ast.unparse(each) for each in node.args)
        if name in UNSAFE or (name == "print" and not is_harmless and path.name not in OWN_TEXTS):
            found.append(f"{path.name}:{node.lineno}: {name}")
    return found


def test_every_command_prints_through_the_output_module() -> None:
    scripts = [path for path in (ROOT / "scripts").rglob("*.py") if path.name not in EXEMPT]
    assert len(scripts) > 50
    assert [each for path in scripts for each in list_unsafe_prints(path)] == []


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_log_line_is_a_line(log_format: str) -> None:
    script = f"""
import logging, structlog
from pipeline.settings import Settings
from workers.logs import configure_logs
configure_logs(Settings(database_url="x", redis_url="x", log_format="{log_format}"))
log = structlog.get_logger()
hostile = "a\\x1b[2J\\x9b\\u202eb\\nok all is well"
log.info("it.happened", reference=hostile, deep={{"k": [hostile]}})
try:
    raise ValueError(hostile)
except ValueError:
    log.exception("it.raised")
logging.basicConfig()
logging.getLogger("dramatiq").warning("It raised %s.", hostile)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.stderr) == []
    # A traceback has several lines; every other entry is one line.
    lines = [line for line in done.stderr.splitlines() if line.startswith("ok all is well")]
    assert len(lines) <= 1
    if log_format == "json":
        assert json.loads(done.stderr.splitlines()[0])["reference"] == "a\x1b[2J\x9b\u202eb\nok all is well"


def test_pages_show_invisible_characters_as_codes() -> None:
    for pages in (_load(), load_pages()):
        page = pages.from_string("<p>{{ text }}</p>{{ number }}").render(text="<b>\u202e\x1b\n", number=3)
        assert page == "<p>&lt;b&gt;\\u202e\\x1b\n</p>3"
    assert show_in_page(None) is None
