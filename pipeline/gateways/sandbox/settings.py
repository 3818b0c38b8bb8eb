"""The sandbox bank's own settings: `CHECKOUT_SANDBOX_...`."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from models.names import SANDBOX_SCHEMA
from pipeline.database.invariant import Invariant
from pipeline.database.schema_grant import SchemaGrant
from pipeline.gateways.gateway import Gateway
from pipeline.gateways.sandbox.invariants import BANK_INVARIANTS
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

    @classmethod
    def list_invariants(cls) -> Sequence[Invariant]:
        """Return the comparison of the bank's tables with the engine's."""
        return BANK_INVARIANTS

    def has_tables_here(self, settings: Settings) -> bool:
        """Return whether the bank's tables are in the engine's database, and not in one of their own."""
        return self.database_url is None or self.database_url == settings.database_url

    @classmethod
    def list_grants(cls) -> Sequence[SchemaGrant]:
        """Return the worker's right to write the bank's tables: the worker is the bank, where no provider is."""
        return (SchemaGrant(SANDBOX_SCHEMA, worker=("SELECT", "INSERT", "UPDATE")),)
