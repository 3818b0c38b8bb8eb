"""The phases stand in one list: no other module of the engine names one, and no contract of the imports does."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from pipeline.saga import CHAIN, chain
from scripts.local_servers.embedded import ROOT

NAMES = {phase.name for phase in CHAIN}
#: Also the word for the frozen quote, a field of the checkout's details.
QUOTES = {("workers/web/admin/schemas/examples.py", "price_lock")}
#: Written by hand for these seven, as their comments say: what the engine is compared with.
BY_HAND = {
    *(("scripts/benchmarks/pgbench_script.py", name) for name in NAMES),
    *(("scripts/benchmarks/peers/work.py", name) for name in ("payment_authorization", "payment_capture")),
    # Measured by hand, and compared with the chain in tests/unit/scripts/test_sizing.py.
    *(("scripts/capacity/costs.py", name) for name in NAMES),
}


def find_names(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the phases and queues that a module names in a text of its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.removeprefix("checkout.")
            if name in NAMES:
                yield path.relative_to(ROOT).as_posix(), name


def test_no_other_module_names_a_phase() -> None:
    modules = [path for room in ("models", "pipeline", "workers") for path in sorted((ROOT / room).rglob("*.py"))]
    found = {each for path in modules for each in find_names(path)}
    home = Path(chain.__file__).relative_to(ROOT).as_posix()
    assert {name for place, name in found if place == home} == NAMES
    assert {(place, name) for place, name in found if place != home} == QUOTES


def test_scripts_name_a_phase_only_where_it_is_written_by_hand() -> None:
    found = {each for path in sorted((ROOT / "scripts").rglob("*.py")) for each in find_names(path)}
    assert found == BY_HAND


def test_every_file_of_the_room_is_a_phase() -> None:
    files = {path.stem for path in (ROOT / "pipeline" / "phases").glob("*.py")} - {"__init__"}
    assert files == NAMES


def test_the_contract_of_the_imports_names_no_phase() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [independence] = [each for each in contracts if each["type"] == "independence"]
    assert independence["modules"] == ["pipeline.phases.*"]
