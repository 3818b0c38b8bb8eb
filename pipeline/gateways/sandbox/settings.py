"""The sandbox bank's own settings: `CHECKOUT_SANDBOX_...`."""

from typing import Annotated, ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from pipeline.gateways.gateway import Gateway
from pipeline.gateways.settings import GatewaySettings, MoneyKind
from pipeline.settings import Settings


class SandboxSettings(GatewaySettings):
    """The bank's behaviour, and its database."""

    model_config = SettingsConfigDict(env_prefix="CHECKOUT_SANDBOX_")

    name: ClassVar[str] = "sandbox"

    #: Pause before each answer, how long it hangs on a time-out token, and its own database.
    latency_seconds: Annotated[float, Field(ge=0)] = 0
    hang_seconds: Annotated[float, Field(ge=0)] = 5
    database_url: SecretStr | None = None
    #: The share of its calls that go wrong, in ways chosen by this seed, and how long an authorisation lives.
    fault_rate: Annotated[float, Field(ge=0, lt=1)] = 0
    fault_seed: int = 0
    authorization_seconds: Annotated[float, Field(gt=0)] = 7 * 24 * 3600
    #: The secret that signs its webhooks; without one it sends none, and none is accepted.
    webhook_secret: SecretStr = SecretStr("")

    @property
    def money(self) -> MoneyKind:
        """Play money: nothing is charged."""
        return MoneyKind.PLAY

    def build(self, settings: Settings) -> Gateway:
        """Return the bank's gateway."""
        from pipeline.gateways.sandbox.bank import SandboxGateway  # noqa: PLC0415 (read often, built once)

        return SandboxGateway(settings, self)
