"""The app accepts every command line of the command table, the pages and the sentences."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer

from pipeline.errors import Code
from pipeline.errors.tree import list_sentences
from pipeline.operations import CommandLine
from tests.support.command_lines import parse
from tests.support.pages import PAGES, ROOT, read_blocks

#: Within the text of pages, docstrings and sentences; a line break counts as a space.
INLINE: Final = re.compile(r"`(checkout(?: [^`]*)?)`")
#: Other spellings of a command, which pages and sentences must not use.
OTHER: Final = re.compile(r"python3? (?:-m )?scripts[./]\w+(?:\.py)?(?: \w+)?")
#: The exceptions: before an environment exists, and a file that is run by its path.
ALLOWED: Final = {
    "README.md": {
        "python3 scripts/dev.py demo",
        "python3 scripts/dev.py test",
        "python3 scripts/dev.py COMMAND",
        "python scripts/monitor.py",
    },
    "recipes.md": {"python3 scripts/dev.py COMMAND"},
    "CONTRIBUTING.md": {"python3 scripts/dev.py lint", "python3 scripts/dev.py test", "python3 scripts/dev.py demo"},
}
#: These files start other processes.
PROCESSES: Final = {
    "scripts/dev.py",
    "scripts/environments/fork_loop.py",
    "scripts/local_servers/owner.py",
    "scripts/benchmarks/peers",
}


def list_whole_lines() -> list[tuple[str, str]]:
    """Return every command line of the table and the code blocks, with its place."""
    found = [("table", each.value) for each in CommandLine]
    for block in read_blocks("bash"):
        lines = (line.partition("  #")[0].strip() for line in block.text.splitlines())
        found += [(str(block), line) for line in lines if line.startswith("checkout ")]
    return found


def list_lines_within_text() -> list[tuple[str, str]]:
    """Return every command line within the texts of pages and code, with its place."""
    found = []
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        found += [(page.name, line) for line in find_inline(page.read_text())]
    # Hints of triggers, and pages of the admin.
    for pattern in ("migrations/**/*.sql", "workers/**/*.html", "scripts/**/*.html"):
        for path in sorted(ROOT.glob(pattern)):
            found += [(str(path.relative_to(ROOT)), line) for line in find_inline(path.read_text())]
    for path, text in read_texts():
        found += [(str(path.relative_to(ROOT)), line) for line in find_inline(text)]
    return list(dict.fromkeys(found))


def find_inline(text: str) -> list[str]:
    """Return the command lines between backticks."""
    return [" ".join(line.split()) for line in INLINE.findall(text)]


def read_texts() -> Iterator[tuple[Path, str]]:
    """Yield every string of the code, including docstrings and constant parts of f-strings."""
    for folder in ("models", "pipeline", "workers", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield path, node.value


WHOLE: Final = list_whole_lines()
WITHIN: Final = list_lines_within_text()


@pytest.mark.parametrize(("where", "line"), WHOLE, ids=[f"{where}-{line}" for where, line in WHOLE])
def test_a_command_line_is_one(where: str, line: str) -> None:
    del where
    assert line.startswith(f"checkout {parse(line, whole=True)}")


@pytest.mark.parametrize(("where", "line"), WITHIN, ids=[f"{where}-{line}" for where, line in WITHIN])
def test_a_command_line_within_a_text_is_one(where: str, line: str) -> None:
    del where
    parse(line, whole=False)


def test_they_are_found_everywhere() -> None:
    assert len([line for where, line in WHOLE if where.startswith("README.md")]) > 10
    assert {"README.md", "CHANGELOG.md", "production.md", "guide.md", "threats.md"} <= {where for where, _ in WITHIN}
    assert {"scripts/checkouts.py", "workers/web/schemas/openapi.py"} <= {where for where, _ in WITHIN}


@pytest.mark.parametrize(
    "line",
    [
        "checkout nothing",
        "checkout checkouts fix ID",
        "checkout diagnose --chekout ID",
        "checkout checkouts retry ID",
        "checkout checkouts retry ID TEXT --reason TEXT",
        "checkout audit --hours soon",
    ],
)
def test_an_invalid_command_line_is_detected(line: str) -> None:
    with pytest.raises(typer.TyperException):
        parse(line, whole=True)


def test_a_group_is_no_whole_line() -> None:
    with pytest.raises(AssertionError, match="names a group"):
        parse("checkout catalog", whole=True)
    assert parse("checkout catalog", whole=False) == "catalog"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "openapi.json"], ids=lambda page: page.name)
def test_pages_use_one_spelling(page: Path) -> None:
    assert set(OTHER.findall(page.read_text())) == ALLOWED.get(page.name, set())


def test_sentences_use_one_spelling() -> None:
    found = {
        str(path.relative_to(ROOT)): OTHER.findall(text)
        for path, text in read_texts()
        if not any(str(path.relative_to(ROOT)).startswith(each) for each in PROCESSES) and OTHER.search(text)
    }
    assert found == {}


def find_addresses(text: str) -> list[str]:
    """Return the paths of the HTTP interface that a text names."""
    return [path for path, _ in re.findall(r"(?<![\w./:])(/[a-z]\w*(/[\w{}-]+)*(?:\.json)?)", text)]


def test_the_addresses_that_sentences_name_exist() -> None:
    known = {*json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"], "/openapi.json"}
    named = {path for code in Code for each in list_sentences(code) for path in find_addresses(each)}
    assert "/openapi.json" in named
    assert named - known == set()
    assert find_addresses("cancel it with POST /orders/{order_id}/cancel, or see https://a.example/orders") == [
        "/orders/{order_id}/cancel"
    ]


def test_commands_about_orders_are_named() -> None:
    assert {"checkout orders refund NUMBER --line 1:1 --reason TEXT"} <= {line for _, line in WHOLE}
    assert "checkout orders cancel NUMBER --reason TEXT" in {line for where, line in WITHIN if where == "production.md"}


def test_an_id_is_put_in_its_place() -> None:
    assert CommandLine.RETRY.of("4711") == "checkout checkouts retry 4711 --reason TEXT"
    assert parse(CommandLine.RETRY.of("0190f3c1-6b70-7d2a-8c15-0f3b2a9d4e22"), whole=True) == "checkouts retry"
