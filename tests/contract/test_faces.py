"""Each room of the pipeline has a face: few names that code outside imports from the room, and few public modules."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import import_module
from typing import Any, Final, NamedTuple

import grimp
import pytest
from importlinter.contracts.protected import ProtectedContract

from tests.support.pages import PAGES, ROOT

CODE: Final = ("models", "pipeline", "workers", "scripts", "migrations")
#: The two directions of webhooks are rooms of their own.
DIRECTIONS: Final = {"pipeline.webhooks.inbound", "pipeline.webhooks.outbound"}
ROOMS: Final = sorted(
    {f"pipeline.{each.parent.name}" for each in (ROOT / "pipeline").glob("*/__init__.py")} - {"pipeline.webhooks"}
    | DIRECTIONS
)
#: A phase is one file and one line of the chain: it needs no third place.
WITHOUT_NAMES: Final = "pipeline.phases"
PROTECTED: Final[dict[str, Any]] = next(
    contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["type"] == "protected"
)


class Import(NamedTuple):
    """`from module import name` in a file, which is named as a module too."""

    importer: str
    module: str
    name: str


@cache
def list_imports() -> list[Import]:
    """Return every import from the pipeline in the code, in functions and for annotations too."""
    return [
        Import(".".join(path.relative_to(ROOT).with_suffix("").parts), node.module, alias.name)
        for folder in CODE
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("pipeline.")
        for alias in node.names
    ]


def is_inside(module: str, room: str) -> bool:
    """Return whether a module is the room itself or in it."""
    return module == room or module.startswith(f"{room}.")


def is_module(name: str) -> bool:
    """Return whether this is a module or a package."""
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def read_names(room: str) -> list[str]:
    """Return the names of the room's face."""
    names: list[str] = getattr(import_module(room), "__all__", [])
    return names


def list_public(room: str) -> set[str]:
    """Return the room's modules that the contract lets others import."""
    listed = {rule.removeprefix("** -> ") for rule in PROTECTED["ignore_imports"]}
    return {module for module in listed if module.startswith(f"{room}.")}


def test_rooms_are_found() -> None:
    assert (len(ROOMS), len(list_imports()) > 1000) == (21, True)


@pytest.mark.parametrize("room", ROOMS)
def test_a_face_has_few_names_and_each_exists(room: str) -> None:
    names, face = read_names(room), import_module(room)
    assert len(names) in ({0} if room == WITHOUT_NAMES else range(3, 9))
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(face, name)] == []
    # A name that is a module's too would be the one or the other, by the order of imports.
    assert [name for name in names if is_module(f"{room}.{name}")] == []
    assert not hasattr(face, "no_such_name")


@pytest.mark.parametrize("room", ROOMS)
def test_code_outside_imports_the_names_of_a_face_from_the_room(room: str) -> None:
    names = set(read_names(room))
    outside = [each for each in list_imports() if is_inside(each.module, room) and not is_inside(each.importer, room)]
    past_the_face = [each for each in outside if each.module != room and each.name in names]
    not_of_the_face = [
        each
        for each in outside
        if each.module == room and each.name not in names and not is_module(f"{room}.{each.name}")
    ]
    assert (past_the_face, not_of_the_face) == ([], [])


@pytest.mark.parametrize("room", ROOMS)
def test_code_inside_imports_from_modules(room: str) -> None:
    inside = [each for each in list_imports() if each.module == room and is_inside(each.importer, room)]
    assert [each for each in inside if not is_module(f"{room}.{each.name}")] == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_docstring_lists_the_public_modules(room: str) -> None:
    listed = (import_module(room).__doc__ or "").partition("Public modules:")[2]
    if room == WITHOUT_NAMES:
        assert (listed.strip(), list_public(room)) == ("all of them.", {f"{room}.*"})
        return
    assert {f"{room}.{name}" for name in re.findall(r"`([\w.]+)`", listed)} == list_public(room)
    assert ("none" in listed) == (not list_public(room))


@pytest.mark.parametrize("room", [room for room in ROOMS if room != WITHOUT_NAMES])
def test_a_public_module_is_used_outside(room: str) -> None:
    pages = "\n".join(page.read_text() for page in PAGES)
    used = {
        module
        for each in list_imports()
        if not is_inside(each.importer, room)
        for module in (each.module, f"{each.module}.{each.name}")
    }
    unused = {module for module in list_public(room) - used if f"from {module} import" not in pages}
    assert unused == set()


def test_an_import_of_a_private_module_is_found() -> None:
    graph = grimp.build_graph("models", "pipeline", "workers", "scripts", cache_dir=None)
    bad = {
        ("workers.bootstrap", "pipeline.saga.failure_policy"),
        ("pipeline.intake.commands", "pipeline.pricing.taxes.tax"),
        ("pipeline.webhooks.inbound.inbox", "pipeline.webhooks.outbound.url_policy"),
    }
    for importer, imported in bad:
        graph.add_import(importer=importer, imported=imported, line_number=1, line_contents="")
    contract = ProtectedContract(PROTECTED["name"], session_options={}, contract_options=PROTECTED)
    result = contract.check(graph, verbose=False)
    links = [link for each in result.metadata["illegal_imports"] for link in each.illegal_links]
    assert {(link["importer"], link["imported"]) for link in links} == bad


def test_a_face_imports_nothing_heavy_that_its_light_names_do_not_need() -> None:
    code = """
        import sys
        import pipeline.security, pipeline.operations, pipeline.gateways, pipeline.messaging
        print("sqlalchemy" in sys.modules, "stripe" in sys.modules, "pipeline.gateways.sandbox.bank" in sys.modules)
        import pipeline.intake, pipeline.saga, pipeline.webhooks.outbound
        print("pipeline.saga.executor" in sys.modules, "urllib3" in sys.modules)
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"] * 5
