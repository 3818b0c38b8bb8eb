"""A mistake in a gateway's package is one sentence at the start, and only for those who choose this gateway."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, ClassVar

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from pipeline.audit.report import list_invariants
from pipeline.gateways import installed
from pipeline.gateways.gateway import MEMBERS, Gateway
from pipeline.gateways.installed import GROUP, list_gateways, list_grants, load_gateway
from pipeline.gateways.registry import build_gateway
from pipeline.gateways.settings import GatewaySettings
from pipeline.settings import Settings, SettingsError
from scripts.environments.supervisor import build_env
from tests.contract.paper_bank import PaperBank
from tests.unit.pricing.test_build_order import SETTINGS


class PaperSettings(GatewaySettings):
    """A gateway without a mistake."""

    model_config = SettingsConfigDict(env_prefix="PAPER_")

    name: ClassVar[str] = "paper"
    key: SecretStr | None = None
    currencies: tuple[str, ...] = ("EUR",)
    limits: dict[str, int] = Field(default_factory=dict)

    def build(self, _settings: Settings) -> Gateway:
        """Build it."""
        return PaperBank()


class NamelessSettings(GatewaySettings):
    """A settings class that does not say its name."""

    def build(self, _settings: Settings) -> Gateway:
        """Build it."""
        return PaperBank()


class UnbuiltSettings(GatewaySettings):
    """A settings class that builds nothing."""

    name: ClassVar[str] = "unbuilt"


class WithoutSdkSettings(GatewaySettings):
    """A gateway whose SDK is not installed."""

    name: ClassVar[str] = "without_sdk"

    def build(self, _settings: Settings) -> Gateway:
        """Fail to import it."""
        import sdk_of_somebank  # type: ignore[import-not-found]

        return sdk_of_somebank.Gateway()  # type: ignore[no-any-return]


class TornSheet:
    """A gateway without most of its parts."""

    name = "torn"
    call_seconds = 0.1
    chargeable = open = authorize = capture = cancel = retrieve = read_webhook = PaperBank.chargeable
    closed = 0

    def close(self) -> None:
        """Be closed."""
        TornSheet.closed += 1


class TornSettings(GatewaySettings):
    """Announces it."""

    name: ClassVar[str] = "torn"

    def build(self, _settings: Settings) -> Any:
        """Build it."""
        return TornSheet()


class RenamedSettings(GatewaySettings):
    """A gateway whose class has another name than its settings."""

    name: ClassVar[str] = "renamed"

    def build(self, _settings: Settings) -> Gateway:
        """Build it."""
        return PaperBank()


POINTS = {
    "paper": f"{__name__}:PaperSettings",
    "other": f"{__name__}:PaperSettings",
    "nameless": f"{__name__}:NamelessSettings",
    "unbuilt": f"{__name__}:UnbuiltSettings",
    "without_sdk": f"{__name__}:WithoutSdkSettings",
    "torn": f"{__name__}:TornSettings",
    "renamed": f"{__name__}:RenamedSettings",
    "moved": f"{__name__}:MovedSettings",
    "gone": "no_such_package.settings:GoneSettings",
    "sandbox": "pipeline.gateways.sandbox.settings:SandboxSettings",
}


@pytest.fixture(autouse=True)
def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install these gateways for the moment."""
    points = EntryPoints(EntryPoint(name, value, GROUP) for name, value in POINTS.items())
    monkeypatch.setattr(installed, "read_entry_points", lambda: points.select(group=GROUP))


def choose(name: str) -> Settings:
    """Return settings with this gateway, which asks no environment file."""
    return SETTINGS.with_gateway(name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "gone",
            "The gateway gone cannot be imported (No module named 'no_such_package'): "
            "correct its entry point no_such_package.settings:GoneSettings, or install what it needs.",
        ),
        (
            "moved",
            f"The gateway moved cannot be imported (module '{__name__}' has no attribute 'MovedSettings'): "
            f"correct its entry point {__name__}:MovedSettings, or install what it needs.",
        ),
        ("unbuilt", "The gateway unbuilt cannot be built: give UnbuiltSettings the method build."),
        (
            "nameless",
            'The gateway nameless has another name in its settings: set NamelessSettings.name = "nameless".',
        ),
        ("other", 'The gateway other has another name in its settings: set PaperSettings.name = "other".'),
        (
            "without_sdk",
            "The gateway without_sdk cannot be imported (No module named 'sdk_of_somebank'): install what it needs.",
        ),
        (
            "torn",
            "The gateway torn is not complete: give TornSheet refund, refund_amount, find_refund, retrieve_charge,"
            " list_held.",
        ),
        ("renamed", 'The gateway renamed has another name: set PaperBank.name = "renamed".'),
    ],
)
def test_a_mistake_in_a_package_is_said_in_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        build_gateway(choose(name))
    assert str(refusal.value) == sentence


def test_an_incomplete_gateway_is_closed() -> None:
    before = TornSheet.closed
    with pytest.raises(SettingsError):
        build_gateway(choose("torn"))
    assert TornSheet.closed == before + 1


def test_a_broken_package_stops_nobody_who_does_not_choose_it() -> None:
    assert list(list_gateways()) == ["paper", "renamed", "sandbox", "torn", "without_sdk"]
    gateway = build_gateway(choose("sandbox"))
    assert gateway.name == "sandbox"
    gateway.close()


@pytest.mark.parametrize("list_added", [list_invariants, list_grants])
def test_what_a_broken_package_adds_is_not_left_out_unsaid(list_added: Callable[[], object]) -> None:
    with pytest.raises(SettingsError, match=r"^The gateway \w+ (cannot be|is of|has another)"):
        list_added()


def test_the_members_are_those_of_the_contract() -> None:
    declared = [*Gateway.__annotations__, *vars(Gateway)]
    assert list(MEMBERS) == [name for name in declared if not name.startswith("_")]


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr(" ")])
def test_a_missing_secret_is_named_by_its_variable(key: SecretStr | None) -> None:
    own = PaperSettings(_env_file=None, key=key)
    with pytest.raises(SettingsError) as refusal:
        own.require_secret("key", "the key of your sheet")
    assert str(refusal.value) == "Set PAPER_KEY to the key of your sheet."


def test_a_secret_is_read_without_blanks() -> None:
    own = PaperSettings(_env_file=None, key=SecretStr(" k_1\n"))
    assert own.require_secret("key", "the key of your sheet") == "k_1"


@pytest.mark.parametrize(("variable", "text"), [("PAPER_CURRENCIES", "EUR,USD"), ("PAPER_LIMITS", "")])
def test_a_list_that_is_not_json_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(SettingsError) as refusal:
        load_gateway("paper").read(choose("paper"))
    assert str(refusal.value) == f"Set {variable}: it must be JSON."


def test_a_process_is_given_lists_as_it_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given = SETTINGS.with_gateway("paper", currencies=("EUR", "USD"), limits={"EUR": 5}, key=SecretStr("k_1"))
    for name, value in build_env(given).items():
        monkeypatch.setenv(name, value)
    assert PaperSettings(_env_file=None) == PaperSettings.read(given)
    assert PaperSettings.read(given).currencies == ("EUR", "USD")
