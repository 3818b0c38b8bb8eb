"""Finds the callable that builds the adapter under test."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import cast

import pytest

from pipeline.gateways.conformance.subject import Subject

Build = Callable[..., AbstractContextManager[Subject]]


def load_build(path: str) -> Build:
    """Import the callable of `package.module:build`. Raises UsageError with the reason when it cannot."""
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise pytest.UsageError(f"--gateway {path}: name a callable as package.module:build.")
    try:
        found = getattr(import_module(module_name), name)
    except ImportError as error:
        raise pytest.UsageError(f"--gateway {path}: {module_name} cannot be imported ({error}).") from error
    except AttributeError as error:
        raise pytest.UsageError(f"--gateway {path}: there is no {name} in {module_name}.") from error
    if not callable(found):
        raise pytest.UsageError(f"--gateway {path}: {name} in {module_name} cannot be called.")
    return cast("Build", found)


def name_subject(path: str) -> str:
    """Return a short name for a test's id: `sandbox` of `tests.conformance.sandbox_subject:build`."""
    return path.partition(":")[0].rpartition(".")[2].removesuffix("_subject")
