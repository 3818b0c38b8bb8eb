"""The subjects: each built once for the whole run."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from inspect import signature

import pytest

from tests.conformance.choice import OURS, load_build, name_subject
from tests.conformance.purchase import Purchase
from tests.conformance.subject import Subject


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test on our adapters, or on the one that `--gateway` names."""
    if "subject_path" in metafunc.fixturenames:
        given = metafunc.config.getoption("gateway")
        paths = OURS if given is None else (given,)
        metafunc.parametrize("subject_path", paths, ids=[name_subject(path) for path in paths], scope="session")


@pytest.fixture(scope="session")
def build(subject_path: str, request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[Subject]]:
    """Builds the adapter under test."""
    given = load_build(subject_path)
    # Servers are started only for a subject that asks for settings.
    wishes = "settings" in signature(given).parameters
    return partial(given, settings=request.getfixturevalue("run_settings")) if wishes else given


@pytest.fixture(scope="session")
def subject(build: Callable[[], AbstractContextManager[Subject]]) -> Iterator[Subject]:
    """The adapter under test."""
    with build() as built:
        yield built


@pytest.fixture
def purchase(subject: Subject) -> Purchase:
    """Somebody who buys something."""
    return Purchase(subject)
