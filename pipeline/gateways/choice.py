"""Which payment provider the settings choose, and with what money: said by every process, view and command.

The sandbox is never chosen by accident. Where no gateway is named, or the sandbox beside a secret of Stripe's, nothing
starts.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import SecretStr

from pipeline.settings import Settings, SettingsError

SANDBOX: Final = "sandbox"
STRIPE: Final = "stripe"

#: How Stripe's keys of its test mode begin: secret and restricted ones.
_TEST_KEYS: Final = ("sk_test_", "rk_test_")


class Money(StrEnum):
    """What is moved by a payment."""

    PLAY = "play"  # the sandbox's: no buyer pays, and an order is an order all the same
    TEST = "test"  # the provider's own test mode
    REAL = "real"


_WORDS: Final = {
    Money.PLAY: "play money: nothing is charged",
    Money.TEST: "test mode: nothing is charged",
    Money.REAL: "real money",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A gateway by its name, and its money."""

    name: str
    money: Money

    @property
    def sentence(self) -> str:
        """The choice for people, such as `sandbox (play money: nothing is charged)`."""
        return f"{self.name} ({_WORDS[self.money]})"


def read_choice(settings: Settings) -> Choice | None:
    """Return what the settings choose; None when they choose nothing. An adapter of others moves real money."""
    if not settings.gateway:
        return None
    if settings.gateway == SANDBOX:
        return Choice(SANDBOX, Money.PLAY)
    is_test = settings.gateway == STRIPE and _reveal(settings.stripe_api_key).startswith(_TEST_KEYS)
    return Choice(settings.gateway, Money.TEST if is_test else Money.REAL)


def describe_choice(settings: Settings) -> str:
    """Return the gateway and its money in words, also where none is chosen."""
    choice = read_choice(settings)
    return "none: set CHECKOUT_GATEWAY" if choice is None else choice.sentence


def require_choice(settings: Settings) -> Choice:
    """Return what the settings choose; SettingsError says what to set when that is nothing, or contradicts itself."""
    choice = read_choice(settings)
    stripes = find_stripe(settings)
    if choice is None and stripes is not None:
        raise SettingsError(
            f"{stripes} is set and CHECKOUT_GATEWAY is not: set CHECKOUT_GATEWAY=stripe, or remove {stripes}."
        )
    if choice is None:
        raise SettingsError(
            "No payment provider is chosen: set CHECKOUT_GATEWAY=stripe, or CHECKOUT_GATEWAY=sandbox for play money."
        )
    if choice.name == SANDBOX and stripes is not None:
        raise SettingsError(
            f"CHECKOUT_GATEWAY=sandbox takes play money and {stripes} is set: "
            f"set CHECKOUT_GATEWAY=stripe, or remove {stripes}."
        )
    return choice


def find_stripe(settings: Settings) -> str | None:
    """Return the variable that shows that Stripe is meant, if one of its secrets is set."""
    if _reveal(settings.stripe_api_key):
        return "CHECKOUT_STRIPE_API_KEY"
    return "CHECKOUT_STRIPE_WEBHOOK_SECRET" if _reveal(settings.stripe_webhook_secret) else None


def _reveal(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value().strip()
