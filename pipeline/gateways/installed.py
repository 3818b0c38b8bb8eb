"""The gateways there are: what is installed under the entry-point group, by the name that `CHECKOUT_GATEWAY` gives."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from inspect import isabstract
from typing import Any, Final

from pipeline.database.schema_grant import SchemaGrant
from pipeline.gateways.settings import GatewaySettings
from pipeline.settings import Settings, SettingsError

GROUP: Final = "checkout_engine.gateways"


@cache
def read_entry_points() -> EntryPoints:
    """Return what is announced; read once, since it takes 5 ms to go through the files of a hundred packages."""
    return entry_points(group=GROUP)


def list_gateways() -> dict[str, type[GatewaySettings]]:
    """Return the settings class of each usable gateway by its name, in the order of the names.

    A package that cannot be used is left out: it keeps no process from starting that does not choose it.
    """
    found: dict[str, type[GatewaySettings]] = {}
    for name in sorted(read_entry_points().names):
        with suppress(SettingsError):
            found[name] = load_gateway(name)
    return found


def load_gateways() -> list[type[GatewaySettings]]:
    """Return the settings class of every installed gateway, in the order of their names.

    Raises SettingsError for one that cannot be used: what it adds is never left out unsaid.
    """
    return [load_gateway(name) for name in sorted(read_entry_points().names)]


def load_gateway(name: str) -> type[GatewaySettings]:
    """Return the settings class of a gateway; SettingsError when none of that name is installed, or none to use."""
    found = read_entry_points()
    if name not in found.names:
        known = ", ".join(sorted(found.names))
        raise SettingsError(f"There is no gateway {name!r}: set CHECKOUT_GATEWAY to one of {known}.")
    try:
        loaded = found[name].load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"The gateway {name} cannot be imported ({error}): correct its entry point {found[name].value},"
            " or install what it needs."
        ) from error
    if not isinstance(loaded, type) or not issubclass(loaded, GatewaySettings):
        raise SettingsError(
            f"The gateway {name} is of an earlier release: install one of it that is announced by its settings."
        )
    if isabstract(loaded):
        raise SettingsError(f"The gateway {name} cannot be built: give {loaded.__name__} the method build.")
    if getattr(loaded, "name", None) != name:
        raise SettingsError(
            f'The gateway {name} has another name in its settings: set {loaded.__name__}.name = "{name}".'
        )
    return loaded


def list_grants() -> list[SchemaGrant]:
    """Return the rights in the schemas of all installed gateways, in the order of their names."""
    return [each for gateway in load_gateways() for each in gateway.list_grants()]


def read_options(settings: Settings) -> Mapping[str, Any]:
    """Return all settings of the chosen gateway by their field, as it would be built now; none of one not installed."""
    if not is_installed(settings.gateway):
        return {}
    own = load_gateway(settings.gateway).read(settings)
    return {name: getattr(own, name) for name in type(own).model_fields}


def is_installed(name: str) -> bool:
    """Return whether there is a gateway of this name."""
    return name in read_entry_points().names
