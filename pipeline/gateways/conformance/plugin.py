"""The pytest plugin of the suite: `--gateway`, and the adapters under test, each built once for the whole run."""

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

# The assertions of the suite's own helper say what they compared, as those of its tests do.
pytest.register_assert_rewrite("pipeline.gateways.conformance.purchase")

from pipeline.gateways.conformance.purchase import Purchase  # noqa: E402 (after its assertions are to be rewritten)
from pipeline.gateways.conformance.subject import Subject  # noqa: E402

SUITE: Final = Path(__file__).parent

#: Long enough for a busy machine; the suite waits for ten calls that are never answered.
TIMEOUT_SECONDS: Final = 0.5

#: Configuration: the adapters that the tests run on without `--gateway`.
SUBJECTS: Final = "conformance_subjects"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let an author of an adapter put it to the test: docs/gateways.md."""
    parser.addoption(
        "--gateway", metavar="PACKAGE.MODULE:BUILD", help="run the conformance suite alone, on this adapter"
    )
    parser.addini(SUBJECTS, "the adapters that the suite runs on without --gateway", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """With `--gateway`, run the suite and nothing else; a path that leads nowhere is refused before anything starts."""
    if (path := config.getoption("gateway")) is not None:
        load_build(path)
        config.args = [str(SUITE)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test of the suite on the adapter that `--gateway` names, or on those of the configuration."""
    if "subject_path" in metafunc.fixturenames:
        given = metafunc.config.getoption("gateway")
        paths = metafunc.config.getini(SUBJECTS) if given is None else [given]
        metafunc.parametrize("subject_path", paths, ids=[name_subject(path) for path in paths], scope="session")


@pytest.fixture(scope="session")
def conformance_settings() -> Iterator[Settings]:
    """Settings with a real database and short times, for subjects that ask for them."""
    with open_settings(gateway_timeout_seconds=TIMEOUT_SECONDS) as settings:
        yield settings


@pytest.fixture(scope="session")
def build(subject_path: str, request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[Subject]]:
    """Builds the adapter under test."""
    given = load_build(subject_path)
    # A database is made only for a subject that asks for settings.
    wishes = "settings" in signature(given).parameters
    return partial(given, settings=request.getfixturevalue("conformance_settings")) if wishes else given


@pytest.fixture(scope="session")
def subject(build: Callable[[], AbstractContextManager[Subject]]) -> Iterator[Subject]:
    """The adapter under test."""
    with build() as built:
        yield built


@pytest.fixture
def purchase(subject: Subject) -> Purchase:
    """Somebody who buys something."""
    return Purchase(subject)
