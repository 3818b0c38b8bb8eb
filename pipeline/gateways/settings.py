"""What a gateway is announced by: its own settings, from which it is built.

An entry point of `checkout_engine.gateways` names a subclass. The module of the subclass imports no SDK: every process
reads the settings of all installed gateways to see which one is meant, and builds one.
"""

from abc import abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar, Self, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from pipeline.database.invariant import Invariant
from pipeline.database.schema_grant import SchemaGrant
from pipeline.gateways.gateway import Gateway
from pipeline.settings import Settings, SettingsError, explain_invalid, name_variable


class MoneyKind(StrEnum):
    """What is moved by a payment."""

    PLAY = "play"  # no buyer pays, and an order is an order all the same
    TEST = "test"  # the provider's own test mode
    REAL = "real"


class GatewaySettings(BaseSettings):
    """Settings of one gateway, from the environment and `.env`; a subclass adds fields and its prefix.

    Give each field a default: `build` says what is missing, and a gateway that is installed is not always the one that
    is used.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    #: What `CHECKOUT_GATEWAY` calls it: the name of its entry point.
    name: ClassVar[str]

    @property
    def money(self) -> MoneyKind:
        """What these settings move. Real money unless a subclass knows better."""
        return MoneyKind.REAL

    @abstractmethod
    def build(self, settings: Settings) -> Gateway:
        """Return the gateway, connected to nothing yet. Raises SettingsError with one sentence that says what to set.

        Import the adapter in here: only the process that calls the provider needs its SDK.
        """

    @classmethod
    def list_invariants(cls) -> Sequence[Invariant]:
        """Return what the audit checks beside the engine's own invariants, whichever gateway is chosen."""
        return ()

    def has_tables_here(self, settings: Settings) -> bool:
        """Return whether what the invariants read is in the engine's database: elsewhere they are not checked."""
        del settings
        return True

    @classmethod
    def list_grants(cls) -> Sequence[SchemaGrant]:
        """Return the rights in the gateway's own schemas of the engine's database, for `roles apply`."""
        return ()

    @classmethod
    def read(cls, settings: Settings) -> Self:
        """Read them: options that were given for this gateway in code win. Raises SettingsError, one sentence each."""
        options = settings.gateway_options
        own: dict[str, Any] = dict(options or {}) if settings.gateway == cls.name else {}
        if unknown := sorted(own.keys() - cls.model_fields.keys()):
            raise TypeError(f"The gateway {cls.name} has no settings {', '.join(unknown)}.")
        try:
            return cls(**own) if options is None else cls(_env_file=None, **own)
        except ValidationError as error:
            raise SettingsError(explain_invalid(cls, error)) from None
        except SourceError as error:
            # A list or a mapping whose variable is not JSON: the variables of the others are not read then.
            raise SettingsError(f"Set {_name_variable_of(cls, error)}: it must be JSON.") from None

    def require_secret(self, field: str, what: str) -> str:
        """Return the text of a secret; SettingsError names its variable and says to set it to `what`.

        A secret that is set to nothing is missing, as in a `.env` file whose line still has to be filled in.
        """
        value = getattr(self, field)
        text = value.get_secret_value().strip() if isinstance(value, SecretStr) else ""
        if not text:
            raise SettingsError(f"Set {name_variable(type(self), field)} to {what}.")
        return text

    @classmethod
    def list_secrets(cls) -> list[str]:
        """Return the fields that hold secrets."""
        return [name for name, field in cls.model_fields.items() if SecretStr in _unite(field.annotation)]

    def find_secret(self) -> str | None:
        """Return the variable of the first secret that is set: a set secret chooses this gateway."""
        for name in self.list_secrets():
            value = getattr(self, name)
            if isinstance(value, SecretStr) and value.get_secret_value().strip():
                return name_variable(type(self), name)
        return None


def _unite(annotation: Any) -> tuple[Any, ...]:
    """Return the parts of a union, or the one type that it is."""
    return get_args(annotation) or (annotation,)


def _name_variable_of(model: type[BaseSettings], error: SourceError) -> str:
    """Return the variable of the field that pydantic-settings names in its text, in quotes, and nowhere else."""
    named = [name for name in model.model_fields if f'"{name}"' in str(error)]
    return ", ".join(name_variable(model, name) for name in named) or f"the variables of {model.__name__}"
