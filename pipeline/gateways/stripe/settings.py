"""Stripe's own settings: `CHECKOUT_STRIPE_...`."""

from typing import ClassVar, Final

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from pipeline.gateways.gateway import Gateway
from pipeline.gateways.settings import GatewaySettings, MoneyKind
from pipeline.settings import Settings

#: How Stripe's keys of its test mode begin: secret and restricted ones.
TEST_KEYS: Final = ("sk_test_", "rk_test_")


class StripeSettings(GatewaySettings):
    """The API key, the webhook secret, and addresses."""

    model_config = SettingsConfigDict(env_prefix="CHECKOUT_STRIPE_")

    name: ClassVar[str] = "stripe"

    api_key: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    #: The address of the API, if it is not Stripe's own.
    api_base: str | None = None
    #: The page to which a bank's page returns the buyer; without it, Stripe's own library shows the challenge.
    return_url: str | None = None

    @property
    def money(self) -> MoneyKind:
        """Test money with a key of the test mode."""
        key = "" if self.api_key is None else self.api_key.get_secret_value().strip()
        return MoneyKind.TEST if key.startswith(TEST_KEYS) else MoneyKind.REAL

    def build(self, settings: Settings) -> Gateway:
        """Return the adapter."""
        from pipeline.gateways.stripe.gateway import StripeGateway  # noqa: PLC0415 (the SDK is large)

        return StripeGateway(settings, self)
