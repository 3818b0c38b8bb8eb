#!/usr/bin/env python3
"""Make `.venv`, install into it what is missing, and run `test`, `lint` or a command of `checkout` in it.

`python3 scripts/dev.py demo` is `checkout demo` without an own environment. Standard library only. The second run finds
everything in place and starts at once. Each command is printed before it runs, to be typed in an own environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
#: What the environment was made from; written last, so that an interrupted installation is repeated.
STAMP = VENV / ".installed"
OLDEST = (3, 11)
#: The tests find at most fifteen databases in the Redis server of REDIS_URL, one for each worker.
MOST_WORKERS = 15

#: Longest first, so that no core is idle while another has a long one left. In a fresh clone they take 41, 35, 1, 0.5,
#: 0.5 and 0.4 s of a core.
CHECKS = (
    ("mypy",),
    ("python", "-m", "scripts.security"),
    ("deptry", "."),
    ("ruff", "check", "."),
    ("lint-imports",),
    ("ruff", "format", "--check", "."),
)
#: What `test --quick` runs of them.
QUICK_CHECKS = tuple(check for check in CHECKS if check[0] in {"mypy", "lint-imports", "ruff"})
#: ... and of the tests: those without servers, and one purchase on real ones.
QUICK_TESTS = ("tests/unit", "tests/contract", "tests/acceptance/test_one_purchase.py", "-m", "not slow")

#: Tools of this script; everything else is a command of `checkout`, listed in scripts/command_table.py.
TOOLS = {
    "test": "every check and every test; `--quick`: those of a minute; other arguments: pytest alone with these",
    "lint": "the checks of `test`: ruff, mypy, import-linter, deptry, security",
}


class SetupError(Exception):
    """Raised when the environment cannot be made; the message is one sentence with its remedy."""


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python that the project does not run on."""
    if version < OLDEST:
        raise SetupError(
            "This needs Python 3.11 or newer and runs on {}.{}: start it with a newer one, such as "
            "`python3.11 scripts/dev.py`.".format(*version)
        )


def check_tool(name: str) -> None:
    """Refuse a name that is neither a tool nor a command."""
    if name not in TOOLS and name not in read_commands():
        raise SetupError(f"There is no tool or command `{name}`; `python3 scripts/dev.py --help` lists them.")


def read_commands() -> dict[str, str]:
    """Return the help of each command of `checkout`, without importing any."""
    table = runpy.run_path(str(ROOT / "scripts" / "command_table.py"))["COMMANDS"]
    return {name: entry.help for name, entry in table.items() if " " not in name}


def name_inputs() -> str:
    """Return what an environment depends on: its path, since scripts in it name it, and the two lists of packages."""
    lists = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "scripts/constraints.txt"))
    return f"{VENV}\n{sys.version_info[0]}.{sys.version_info[1]}\n{hashlib.sha256(lists).hexdigest()}\n"


def find_modules() -> set[str]:
    """Return the installed modules that can make an environment; Debian ships Python without some of them."""
    return {name for name in ("venv", "ensurepip", "virtualenv", "pip") if importlib.util.find_spec(name)}


def find_commands() -> dict[str, str]:
    """Return the paths of the commands that can make an environment, as far as they are installed."""
    found = {name: shutil.which(name) for name in ("uv", "virtualenv")}
    return {name: path for name, path in found.items() if path}


def choose_maker(modules: set[str], commands: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return two commands that this machine has: one that makes the environment, one that installs into it."""
    python = str(BIN / "python")
    own_pip = [python, "-m", "pip", "install", "--quiet"]
    outer_pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    if {"venv", "ensurepip"} <= modules:
        return [sys.executable, "-m", "venv", str(VENV)], own_pip
    if "uv" in commands:
        make = [commands["uv"], "venv", "--quiet", "--python", sys.executable, str(VENV)]
        return make, [commands["uv"], "pip", "install", "--quiet", "--python", python]
    if "virtualenv" in modules:
        return [sys.executable, "-m", "virtualenv", "--quiet", str(VENV)], own_pip
    if "virtualenv" in commands:
        return [commands["virtualenv"], "--quiet", "--python", sys.executable, str(VENV)], own_pip
    if {"venv", "pip"} <= modules:
        return [sys.executable, "-m", "venv", "--without-pip", str(VENV)], outer_pip
    raise SetupError(
        "This Python cannot make a virtual environment: install its venv package "
        "(Debian and Ubuntu: `sudo apt install python3-venv`) or uv, then run this again."
    )


def prepare() -> None:
    """Make and fill `.venv`, unless the stamp says that it is up to date; of two runs at once one waits."""
    with alone():
        prepare_alone()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of this folder: a lock of the folder itself leaves no file behind, and ends with its process."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def prepare_alone() -> None:
    """Make and fill `.venv` where nobody else does."""
    wanted = name_inputs()
    found = STAMP.read_text() if STAMP.exists() else ""
    if found == wanted and (BIN / "python").exists():
        return
    make, install = choose_maker(find_modules(), find_commands())
    if found.splitlines()[:2] != wanted.splitlines()[:2] or not (BIN / "python").exists():
        if VENV.exists():
            if not (VENV / "pyvenv.cfg").exists() and any(VENV.iterdir()):
                raise SetupError(f"{VENV} is not a virtual environment: move it away, then run this again.")
            shutil.rmtree(VENV)
        if run(make):
            raise SetupError("The virtual environment could not be made; the reason is above.")
    STAMP.unlink(missing_ok=True)
    print("Installing; this takes about a minute, once.", file=sys.stderr)
    if run([*install, "-c", "scripts/constraints.txt", "-e", ".[dev]"]):
        raise SetupError(
            "The packages could not be installed; the reason is above (behind a proxy or a mirror, set pip up for it)."
        )
    STAMP.write_text(wanted)


def show(command: Sequence[str]) -> None:
    """Print a command as it is typed at the root of the project."""
    print("$ " + shlex.join(part.replace(f"{ROOT}/", "") for part in command), file=sys.stderr, flush=True)


def run(command: list[str]) -> int:
    """Run a command at the root and return its exit code; pass SIGTERM on to it."""
    show(command)
    with subprocess.Popen(command, cwd=ROOT, env=build_env()) as process:
        before = signal.signal(signal.SIGTERM, lambda signum, _frame: process.send_signal(signum))
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()  # the terminal has signalled it too; it may still be cleaning up
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
    return to_exit_code(code)


def to_exit_code(code: int) -> int:
    """Return a shell's exit code for that of a process: 128 and the signal that ended it."""
    return code if code >= 0 else 128 - code


def build_env() -> dict[str, str]:
    """Return the environment variables, with the commands of `.venv` first in PATH."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "VIRTUAL_ENV": str(VENV)}


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # macOS has none
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_checks(checks: tuple[tuple[str, ...], ...] = CHECKS) -> int:
    """Run the checks side by side, all to their end; return the exit code of the first that failed, or 0."""
    # An older Python than the oldest supported one may not be able to read it.
    from scripts.environments.side_by_side import Ended, run_side_by_side  # noqa: PLC0415

    commands = [[str(BIN / name), *arguments] for name, *arguments in checks]
    print(f"Running side by side: {', '.join(map(' '.join, checks))}", file=sys.stderr, flush=True)
    try:
        codes = run_side_by_side(commands, most=count_cores(), show=show, folder=ROOT, environment=build_env())
    except Ended as ended:
        return ended.code
    failed = {" ".join(check): to_exit_code(code) for check, code in zip(checks, codes, strict=True) if code}
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr, flush=True)
    return next(iter(failed.values()), 0)


def become(command: list[str]) -> int:
    """Replace this process with the command: signals, SIGKILL included, and exit code are then the command's."""
    show(command)
    sys.stdout.flush()
    os.execve(command[0], command, build_env())


def run_tests(arguments: list[str]) -> int:
    """Replace this process with pytest, at the root: with these arguments."""
    os.chdir(ROOT)
    return become([str(BIN / "pytest"), *arguments])


def spread_tests(workers: int) -> list[str]:
    """Return the arguments that spread the tests over so many workers, two at least."""
    return ["--workers", str(min(max(workers, 2), MOST_WORKERS))]


def run_suite(arguments: list[str]) -> int:
    """Run pytest with the arguments; without any the checks and then all tests; with `--quick` those of a minute."""
    if not arguments:
        # Half of the workers run tests of real processes, which wait for most of their time.
        return run_checks() or run_tests(spread_tests(count_cores() * 2))
    if "--quick" in arguments:
        others = [each for each in arguments if each != "--quick"]
        # Beside the checks: mypy takes a core for as long as the tests take two.
        return run_checks((("pytest", *spread_tests(count_cores()), *QUICK_TESTS, *others), *QUICK_CHECKS))
    return run_tests(arguments)


def run_command(arguments: list[str]) -> int:
    """Replace this process with `checkout`. Paths among the arguments are relative to the current folder."""
    return become([str(BIN / "checkout"), *arguments])


def list_tools() -> str:
    """Return the help text."""
    return "\n".join(
        [
            "usage: python3 scripts/dev.py TOOL [ARGUMENT ...]",
            "",
            *(f"  {name:<10} {about}" for name, about in TOOLS.items()),
            "",
            "Or a command of `checkout`; `COMMAND --help` shows its arguments.",
            "",
            *(f"  {name:<10} {about}" for name, about in read_commands().items()),
        ]
    )


def main(arguments: list[str]) -> int:
    """Run the tool that the arguments name; return its exit code."""
    try:
        check_python(sys.version_info[:2])
        if not arguments or arguments[0] in {"-h", "--help", "help"}:
            print(list_tools())
            return 0 if arguments else 2
        name, rest = arguments[0], arguments[1:]
        check_tool(name)
        prepare()
        if name == "lint":
            return run_checks()
        if name == "test":
            return run_suite(rest)
        return run_command(arguments)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # otherwise only the folder of this file is there
    sys.exit(main(sys.argv[1:]))
