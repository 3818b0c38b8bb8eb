"""What is announced as a gateway must be one of this release."""

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from pipeline.gateways import registry
from pipeline.gateways.registry import GROUP, build_gateway
from pipeline.settings import Settings, SettingsError
from tests.contract.paper_bank import PaperBank
from tests.unit.test_build_order import SETTINGS


class Earlier:
    """An adapter that was written before it was asked what it can charge."""

    name = "earlier"
    call_seconds = 0.1
    closed = 0

    def close(self) -> None:
        """Be closed."""
        Earlier.closed += 1


def build_earlier(_settings: Settings) -> Any:
    return Earlier()


def build_paper(_settings: Settings) -> Any:
    return PaperBank()


def test_one_that_does_not_know_what_it_can_charge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two that are installed
    named = {"earlier": "build_earlier", "paper": "build_paper"}
    points = EntryPoints(EntryPoint(name, f"{__name__}:{build}", GROUP) for name, build in named.items())
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points.select(group=group))
    # Then
    assert build_gateway(SETTINGS.model_copy(update={"gateway": "paper"})).name == "paper"
    with pytest.raises(SettingsError, match=r"^The gateway earlier is of an earlier release: install one of it"):
        build_gateway(SETTINGS.model_copy(update={"gateway": "earlier"}))
    assert Earlier.closed == 1
