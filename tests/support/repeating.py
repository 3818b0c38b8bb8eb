"""The end of a test run: each failure with the command that repeats it. A pytest plugin, loaded by tests/conftest.py.

pytest-randomly seeds `random` for each test from its seed and the test's name, also when the test runs alone. The
examples of hypothesis depend on its seed and on the modules that are loaded, so the command has the failing example.
"""

import re
import shlex
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final

import pytest
from hypothesis import __version__ as hypothesis_version
from hypothesis import is_hypothesis_test, reproduce_failure
from hypothesis.stateful import RuleBasedStateMachine

SECTION: Final = "commands that repeat the failures"
HINT: Final = "If one passes alone, end its path after `.py`: the tests of the file then run in the same order."

#: What hypothesis prints under a failure.
PRINTED: Final = re.compile(r"@reproduce_failure\('[^']+', b'([^']+)'\)")
#: How the failing example of a report is named among its properties.
EXAMPLE: Final = "example"

#: Options with a number that choose what a test does, and their defaults.
FUZZ: Final = {"fuzz": 150, "fuzz_seed": 0}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the fuzz of the routes be longer, or another one, and an example of hypothesis be repeated."""
    for option, meta, about in (
        ("fuzz", "REQUESTS", "how many the fuzz of the routes sends"),
        ("fuzz_seed", "SEED", "... and which: 0 draws a seed"),
    ):
        parser.addoption(_spell(option), type=int, default=FUZZ[option], metavar=meta, help=about)
    parser.addoption("--example", metavar="BLOB", help="run this example of the chosen hypothesis test, and no other")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Hand the example of `--example` to the chosen tests."""
    if (blob := config.getoption("--example")) is not None:
        for each in items:
            for target in _find_targets(each):
                reproduce_failure(hypothesis_version, blob.encode())(target)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the failing example to the report, which a worker sends to the first process."""
    report = yield
    if report.failed and _find_targets(item):
        printed = PRINTED.search(report.longreprtext)
        # A repeated example is not printed again.
        if (blob := printed[1] if printed else item.config.getoption("--example")) is not None:
            report.user_properties.append((EXAMPLE, blob))
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Generator[None]:
    """Print the commands after every other section: the outermost wrapper is the last to end."""
    yield
    reports = [each for kind in ("failed", "error") for each in terminalreporter.stats.get(kind, ())]
    if reports:
        terminalreporter.section(SECTION)
        for command in build_commands(reports, config.option):
            terminalreporter.write_line(command)
        terminalreporter.write_line(HINT)


def build_commands(reports: Iterable[Any], options: Any) -> list[str]:
    """Return a command line for each test, or file that could not be read, as it is typed at the root."""
    commands: dict[str, str] = {}
    for report in reports:
        name = report.nodeid
        words = ["python3", "scripts/dev.py", "test", *_choose(name, options), *_list_options(options)]
        words += [f"--{key}={value}" for key, value in getattr(report, "user_properties", ()) if key == EXAMPLE]
        # A test can fail twice, in itself and in the end of a fixture.
        commands.setdefault(name, shlex.join(words))
    return list(commands.values())


def _choose(name: str, options: Any) -> list[str]:
    """Return the arguments that choose the test; with `--gateway` the paths of the arguments do not count."""
    gateway = getattr(options, "gateway", None)
    return [name] if gateway is None else ["--gateway", gateway, "-k", name.partition("[")[0].rpartition("::")[2]]


def _list_options(options: Any) -> Iterator[str]:
    seed = getattr(options, "randomly_seed", None)
    yield from ("-p", "no:randomly") if seed is None else [f"--randomly-seed={seed}"]
    for option, default in {**FUZZ, "hypothesis_seed": None}.items():
        if (value := getattr(options, option, default)) != default:
            yield f"{_spell(option)}={value}"


def _spell(option: str) -> str:
    return "--" + option.replace("_", "-")


def _find_targets(item: pytest.Item) -> list[Callable[..., object]]:
    """Return what hypothesis runs in a test: the test itself, or the state machines of its module."""
    test, module = getattr(item, "obj", None), getattr(item, "module", None)
    if test is not None and is_hypothesis_test(test):
        return [test]
    found = vars(module).values() if module is not None else ()
    return [each for each in found if isinstance(each, type) and _is_machine(each)]


def _is_machine(found: type) -> bool:
    return issubclass(found, RuleBasedStateMachine) and found is not RuleBasedStateMachine
