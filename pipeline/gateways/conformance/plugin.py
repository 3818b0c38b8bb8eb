"""The suite's pytest plugin: `--gateway`, and the adapters under test, each built once per run."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Final

import pytest

from pipeline.database.temporary import open_settings
from pipeline.gateways.conformance.loading import load_build, name_subject
from pipeline.settings import Settings

# Failed assertions of `purchase` show what they compared, as those of tests do.
pytest.register_assert_rewrite("pipeline.gateways.conformance.purchase")

from pipeline.gateways.conformance.purchase import Purchase  # noqa: E402 (after its assertions are to be rewritten)
from pipeline.gateways.conformance.subject import Subject  # noqa: E402

SUITE: Final = Path(__file__).parent

#: Long enough for a busy machine; the suite waits for ten calls that are never answered.
TIMEOUT_SECONDS: Final = 0.5

#: The configuration of the adapters under test without `--gateway`.
SUBJECTS: Final = "conformance_subjects"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options with which an author tests an adapter: docs/gateways.md."""
    parser.addoption(
        "--gateway", metavar="PACKAGE.MODULE:BUILD", help="run the conformance suite alone, on this adapter"
    )
    parser.addini(SUBJECTS, "the adapters that the suite runs on without --gateway", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Run only the suite with `--gateway`. A wrong path is refused before anything starts."""
    if (path := config.getoption("gateway")) is not None:
        load_build(path)
        config.args = [str(SUITE)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test of the suite on the adapter of `--gateway`, or on those of the configuration."""
    if "subject_path" in metafunc.fixturenames:
        given = metafunc.config.getoption("gateway")
        paths = metafunc.config.getini(SUBJECTS) if given is None else [given]
        metafunc.parametrize("subject_path", paths, ids=[name_subject(path) for path in paths], scope="session")


@pytest.fixture(scope="session")
def conformance_settings() -> Iterator[Settings]:
    """Settings with a real database and short times, for subjects that need them."""
    with open_settings(gateway_timeout_seconds=TIMEOUT_SECONDS) as settings:
        yield settings


@pytest.fixture(scope="session")
def build(subject_path: str, request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[Subject]]:
    """Builds the adapter under test."""
    given = load_build(subject_path)
    # A database is made only for a subject that needs settings.
    needs_settings = "settings" in signature(given).parameters
    return partial(given, settings=request.getfixturevalue("conformance_settings")) if needs_settings else given


@pytest.fixture(scope="session")
def subject(build: Callable[[], AbstractContextManager[Subject]]) -> Iterator[Subject]:
    """The adapter under test."""
    with build() as built:
        yield built


@pytest.fixture
def purchase(subject: Subject) -> Purchase:
    """A purchase of one checkout."""
    return Purchase(subject)
