"""The sandbox bank's own settings: `CHECKOUT_SANDBOX_...`."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from models.sandbox import SCHEMA
from pipeline.database.invariant import Invariant
from pipeline.database.roles import SchemaGrant
from pipeline.gateways.gateway import Gateway
from pipeline.gateways.sandbox.invariants import BANK_INVARIANTS
from pipeline.gateways.settings import GatewaySettings, MoneyKind
from pipeline.settings import Settings


class SandboxSettings(GatewaySettings):
    """How the bank behaves, and where its books are."""

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
    #: What its webhooks are signed with; without one it sends none, and none is taken for its.
    webhook_secret: SecretStr = SecretStr("")

    @property
    def money(self) -> MoneyKind:
        """Nobody pays."""
        return MoneyKind.PLAY

    def build(self, settings: Settings) -> Gateway:
        """Return the bank's counter."""
        from pipeline.gateways.sandbox.bank import SandboxGateway  # noqa: PLC0415 (read often, built once)

        return SandboxGateway(settings, self)

    @classmethod
    def list_invariants(cls) -> Sequence[Invariant]:
        """Compare its books with the engine's."""
        return BANK_INVARIANTS

    def has_tables_here(self, settings: Settings) -> bool:
        """Unless its books are in a database of their own."""
        return self.database_url is None or self.database_url == settings.database_url

    @classmethod
    def list_grants(cls) -> Sequence[SchemaGrant]:
        """Let the worker write its books: it plays an external provider, whose books in production are elsewhere."""
        return (SchemaGrant(SCHEMA, worker=("SELECT", "INSERT", "UPDATE")),)
