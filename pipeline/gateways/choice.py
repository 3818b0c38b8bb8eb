"""Which payment provider the settings choose, and with what money: said by every process, view and command.

Play money is never chosen by accident. Where no gateway is named, or the environment names one of play money beside a
secret of another provider, nothing starts. What is chosen in code is meant: `checkout demo` plays beside any secret.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pipeline.gateways.installed import is_installed, list_gateways, load_gateway
from pipeline.gateways.settings import GatewaySettings, MoneyKind
from pipeline.settings import Settings, SettingsError

_WORDS: Final = {
    MoneyKind.PLAY: "play money: nothing is charged",
    MoneyKind.TEST: "test mode: nothing is charged",
    MoneyKind.REAL: "real money",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A gateway by its name, and its money."""

    name: str
    money: MoneyKind

    @property
    def sentence(self) -> str:
        """The choice for people, such as `sandbox (play money: nothing is charged)`."""
        return f"{self.name} ({_WORDS[self.money]})"


@dataclass(frozen=True, slots=True)
class Sign:
    """A secret of a provider that is set though the provider is not chosen."""

    gateway: str
    variable: str


@lru_cache(maxsize=16)
def read_choice(settings: Settings) -> Choice | None:
    """Return what the settings choose; None when they choose nothing. A gateway that is not installed is real money.

    The environment is read once for the same settings: every page and every health check says the choice.
    """
    if not settings.gateway:
        return None
    is_known = is_installed(settings.gateway)
    money = load_gateway(settings.gateway).read(settings).money if is_known else MoneyKind.REAL
    return Choice(settings.gateway, money)


def describe_choice(settings: Settings) -> str:
    """Return the gateway and its money in words, also where none is chosen."""
    choice = read_choice(settings)
    return "none: set CHECKOUT_GATEWAY" if choice is None else choice.sentence


def require_choice(settings: Settings) -> Choice:
    """Return what the settings choose; SettingsError says what to set when that is nothing, or contradicts itself."""
    choice = read_choice(settings)
    if choice is not None and (choice.money is not MoneyKind.PLAY or settings.gateway_options is not None):
        return choice
    sign = find_real(settings)
    if sign is not None:
        chosen = f"{sign.variable} is set and CHECKOUT_GATEWAY is not"
        if choice is not None:
            chosen = f"CHECKOUT_GATEWAY={choice.name} takes play money and {sign.variable} is set"
        raise SettingsError(f"{chosen}: set CHECKOUT_GATEWAY={sign.gateway}, or remove {sign.variable}.")
    if choice is None:
        raise SettingsError(f"No payment provider is chosen: set {_list_choices(settings)}.")
    return choice


def find_real(settings: Settings) -> Sign | None:
    """Return a secret that is set of a provider that moves more than play money, and is not the one chosen."""
    for name, own in _read_all(settings):
        if name != settings.gateway and own.money is not MoneyKind.PLAY and (variable := own.find_secret()):
            return Sign(name, variable)
    return None


def _read_all(settings: Settings) -> Iterator[tuple[str, GatewaySettings]]:
    for name, gateway in list_gateways().items():
        try:
            own = gateway.read(settings)
        except SettingsError:
            continue  # it is not built: what its settings lack keeps nobody from starting
        yield name, own


def _list_choices(settings: Settings) -> str:
    """Return what CHECKOUT_GATEWAY may be set to, play money last."""
    moneys = {name: own.money for name, own in _read_all(settings)}
    real = [f"CHECKOUT_GATEWAY={name}" for name, money in moneys.items() if money is not MoneyKind.PLAY]
    play = [f"CHECKOUT_GATEWAY={name} for play money" for name, money in moneys.items() if money is MoneyKind.PLAY]
    *others, last = [*real, *play] or ["CHECKOUT_GATEWAY, and install a gateway"]
    return f"{', '.join(others)}, or {last}" if others else last
