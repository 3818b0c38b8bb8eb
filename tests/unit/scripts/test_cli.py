"""The one command: its list of commands, its imports, and its completion in a shell."""

import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from scripts.cli import NAME, LazyGroup, app, load
from scripts.command_table import COMMANDS
from tests.support import commands

ROOT: Final = Path(__file__).resolve().parents[3]
CHECKOUT: Final = Path(sys.executable).with_name(NAME)
#: Packages that commands need, and the list of commands does not.
HEAVY: Final = {"sqlalchemy", "dramatiq", "fastapi", "stripe", "redis", "pipeline", "models", "workers"}
#: Prints the modules that a call of the command has imported.
LIST_IMPORTS: Final = (
    "import atexit, json, sys; atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr));"
    "from scripts.cli import app; app(prog_name='checkout')"
)
#: The commands in the order of the help.
TOP: Final = [path for path in COMMANDS if " " not in path]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `checkout` as a shell does."""
    return subprocess.run(
        [CHECKOUT, *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def list_imports(*arguments: str, **environment: str) -> set[str]:
    """Return the top-level packages and the scripts that a call imports."""
    done = subprocess.run(
        [sys.executable, "-c", LIST_IMPORTS, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    modules: list[str] = json.loads(done.stderr.splitlines()[-1])
    return {name for name in modules if "." not in name or name.startswith("scripts.")}


def complete(line: str) -> list[str]:
    """Return what bash offers at the end of a line."""
    words = line.split(" ")
    asked = {"_CHECKOUT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = commands.run(
        [sys.executable, str(CHECKOUT)], cwd=ROOT, env={**os.environ, "COLUMNS": "200", **asked}, timeout=60
    )
    return done.stdout.splitlines()


def test_the_entry_point_is_the_app() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {NAME: "scripts.cli:app"}


def test_help_lists_every_command_with_its_line() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in TOP:
        assert f"│ {name:<{max(map(len, TOP))}}  {COMMANDS[name].help}" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["checkouts", "--help"], []])
def test_help_imports_no_command(arguments: list[str]) -> None:
    imported = list_imports(*arguments)
    assert imported & HEAVY == set()
    assert {name for name in imported if name.startswith("scripts.")} == {"scripts.cli", "scripts.command_table"}


def test_a_command_imports_itself_and_no_other() -> None:
    imported = list_imports("keys", "--help")
    assert "scripts.keys" in imported
    assert imported & {"scripts.monitor", "scripts.bench", "scripts.chaos", "fastapi", "uvicorn"} == set()


def test_the_list_is_completed_without_importing_a_command() -> None:
    imported = list_imports(_CHECKOUT_COMPLETE="complete_bash", COMP_WORDS="checkout ", COMP_CWORD="1")
    assert imported & HEAVY == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("checkout ", TOP),
        ("checkout d", ["demo", "diagnose"]),
        ("checkout checkouts ", ["list", "show", "release", "retry", "cleanup"]),
        ("checkout catalog ", ["import", "stock", "show", "rates", "tax"]),
        ("checkout checkouts retry --re", ["--reason"]),
        ("checkout checkouts list --state c", ["completed", "cancelled"]),
    ],
)
def test_a_shell_completes(line: str, offered: list[str]) -> None:
    assert complete(line) == offered


def test_completion_is_shown_for_the_shell_that_asks() -> None:
    # The output of `--show-completion` when it finds a shell.
    done = run(_CHECKOUT_COMPLETE="source_bash")
    assert (done.returncode, "complete -o default -F _checkout_completion checkout" in done.stdout) == (0, True)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_of_the_table_loads_and_runs_by_its_file(path: str) -> None:
    entry = COMMANDS[path]
    command = load(path, entry)
    assert command.name == path.rpartition(" ")[2]
    if entry.target is None:
        assert isinstance(command, LazyGroup)
        assert [f"{path} {name}" for name in command.commands] == [
            each for each in COMMANDS if each.startswith(f"{path} ")
        ]
        return
    module: Any = importlib.import_module(entry.target.partition(":")[0])
    assert 'if __name__ == "__main__":' in Path(module.__file__).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("script", ["monitor", "show", "reconcile", "shop", "retry"])
def test_a_file_runs_by_its_path(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / f"{script}.py", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, f"Usage: {script}.py [OPTIONS]" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing"], 2, "No such command 'nothing'"),
        (["monitr"], 2, "Did you mean 'monitor'"),
        (["checkouts", "retri"], 2, "Did you mean 'retry'"),
        (["checkouts", "show", "4711"], 2, "Invalid value for 'ID': Input should be a valid UUID"),
        (["audit", "--repair"], 2, "it settles what --gateway finds: add --gateway."),
    ],
)
def test_a_wrong_name_or_value_is_reported(arguments: list[str], code: int, said: str) -> None:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert (done.exit_code, said in done.output) == (code, True), done.output
