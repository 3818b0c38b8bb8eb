"""What is announced as a gateway must be one of this release."""

from importlib.metadata import EntryPoint, EntryPoints
from typing import Annotated, Any

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pipeline.gateways import installed
from pipeline.gateways.gateway import Gateway
from pipeline.gateways.installed import GROUP, load_gateway, read_options
from pipeline.gateways.registry import build_gateway
from pipeline.gateways.settings import GatewaySettings
from pipeline.settings import Settings, SettingsError
from tests.contract.paper_bank import PaperBank
from tests.unit.pricing.test_build_order import SETTINGS


class Earlier:
    """An adapter from before `chargeable`."""

    name = "earlier"
    call_seconds = 0.1
    closed = 0

    def close(self) -> None:
        """Be closed."""
        Earlier.closed += 1


class EarlierSettings(GatewaySettings):
    """Announces it as of today."""

    name = "earlier"

    def build(self, _settings: Settings) -> Any:
        """Build it."""
        return Earlier()


class PaperSettings(GatewaySettings):
    """Settings of a gateway from elsewhere, which reads what it likes."""

    model_config = SettingsConfigDict(env_prefix="PAPER_")

    name = "paper"
    sheets: Annotated[int, Field(gt=0)] = 1

    def build(self, _settings: Settings) -> Gateway:
        """Build it."""
        return PaperBank()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install three gateways for the moment."""
    named = {"earlier": "EarlierSettings", "paper": "PaperSettings", "oldest": "Earlier"}
    points = EntryPoints(EntryPoint(name, f"{__name__}:{value}", GROUP) for name, value in named.items())
    monkeypatch.setattr(installed, "read_entry_points", lambda: points.select(group=GROUP))


def choose(name: str) -> Settings:
    """Return settings with this gateway."""
    return SETTINGS.model_copy(update={"gateway": name})


@pytest.mark.usefixtures("install")
def test_one_that_does_not_know_what_it_can_charge_is_refused() -> None:
    assert build_gateway(choose("paper")).name == "paper"
    with pytest.raises(SettingsError, match=r"^The gateway earlier is of an earlier release: install one of it that k"):
        build_gateway(choose("earlier"))
    assert Earlier.closed == 1


@pytest.mark.usefixtures("install")
def test_one_that_is_not_announced_by_its_settings_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^The gateway oldest is of an earlier release: install one of it that is"):
        build_gateway(choose("oldest"))


@pytest.mark.usefixtures("install")
def test_a_mistake_in_its_own_settings_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPER_SHEETS", "0")
    with pytest.raises(SettingsError) as refusal:
        load_gateway("paper").read(choose("paper"))
    assert str(refusal.value) == "Set PAPER_SHEETS: it must be above 0."
    # What is given in code wins, and a name that there is not is a mistake of the program.
    assert read_options(choose("paper").with_gateway_options(sheets=3)) == {"sheets": 3}
    with pytest.raises(TypeError, match="The gateway paper has no settings leaves"):
        read_options(choose("paper").with_gateway_options(leaves=3))
