"""Every command that uses a server opens it by one of a few doors, which turn what is wrong into one sentence.

`tests/integration/scripts/test_wrong_addresses.py` runs a command of each kind on wrong servers.
"""

import ast
import importlib.util
from pathlib import Path
from typing import Final

import pytest

from scripts.command_table import COMMANDS

#: They read the addresses, connect, and raise or print the sentence for a server that cannot be used.
DOORS: Final = {
    "explain_errors",
    "open_transaction",
    "read_for_people",
    "open_engine",
    "open_catalog",
    "open_catalog_and_settings",
    # Two commands are others with arguments: `diagnose --checkout ID` and `audit --gateway`.
    "show_checkout",
    "audit",
}
#: What connects to a server of PostgreSQL or Redis by itself.
CONNECTING: Final = {
    "connect_engine",
    "connect_reader",
    "connect_redis",
    "create_engine",
    "build_components",
    "open_redis",
}
#: These use no server that was there before them.
ALONE: Final = {"cluster", "sizing", "contracts", "security"}


def list_names(module: str) -> set[str]:
    """Return every name that a module uses."""
    file = importlib.util.find_spec(module)
    assert file is not None
    assert file.origin is not None
    tree = ast.parse(Path(file.origin).read_text())
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


def list_targets() -> dict[str, str]:
    """Return the module of each command."""
    return {path: entry.target.partition(":")[0] for path, entry in COMMANDS.items() if entry.target is not None}


@pytest.mark.parametrize("path", [path for path in list_targets() if path not in ALONE])
def test_a_command_goes_through_a_door(path: str) -> None:
    assert DOORS & list_names(list_targets()[path])


@pytest.mark.parametrize("path", sorted(ALONE))
def test_the_others_connect_to_nothing(path: str) -> None:
    assert not CONNECTING & list_names(list_targets()[path])


def test_every_command_is_known() -> None:
    assert list_targets().keys() >= ALONE
