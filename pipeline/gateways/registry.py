"""Builds the gateway that `CHECKOUT_GATEWAY` names, from its own settings, which are read here."""

from typing import Final

from pipeline.gateways.choice import require_choice
from pipeline.gateways.gateway import MEMBERS, Gateway
from pipeline.gateways.installed import load_gateway
from pipeline.settings import Settings, SettingsError

#: A lease must outlast its call by this much, or two workers could make the same call at once.
LEASE_MARGIN_SECONDS: Final = 0.2

#: How long a call may wait for its turn where the settings leave the lease to the gateway: a batch of 256 through 64
#: calls at once, at a bank that takes 0.6 s for each. What has waited longer is put off, not made.
TURN_SECONDS: Final = 2.5


def build_gateway(settings: Settings) -> Gateway:
    """Return the gateway of the settings; SettingsError says what to set when there is none. Close it at the end."""
    require_choice(settings)
    own = load_gateway(settings.gateway).read(settings)
    try:
        gateway = own.build(settings)
    except ImportError as error:
        raise SettingsError(f"The gateway {own.name} cannot be imported ({error}): install what it needs.") from error
    if not hasattr(gateway, "chargeable"):
        gateway.close()
        raise SettingsError(
            f"The gateway {settings.gateway} is of an earlier release: install one of it that knows what it can charge."
        )
    _require_complete(own.name, gateway)
    if 0 < settings.gateway_lease_seconds < gateway.call_seconds + LEASE_MARGIN_SECONDS:
        gateway.close()
        raise SettingsError(
            f"A call of {gateway.name} can take {gateway.call_seconds:g} s: "
            f"set CHECKOUT_GATEWAY_LEASE_SECONDS to more, or CHECKOUT_GATEWAY_TIMEOUT_SECONDS to less."
        )
    return gateway


def fit_lease(settings: Settings, gateway: Gateway) -> Settings:
    """Return the settings with a lease that outlasts the calls of this gateway, where they leave it to the gateway."""
    if settings.gateway_lease_seconds > 0:
        return settings
    return settings.model_copy(update={"gateway_lease_seconds": gateway.call_seconds + TURN_SECONDS})


def _require_complete(name: str, gateway: Gateway) -> None:
    """Raise SettingsError when a part of the contract is missing: at the start, and not at the first refund."""
    missing = [each for each in MEMBERS if not hasattr(gateway, each)]
    if missing:
        if "close" not in missing:
            gateway.close()
        raise SettingsError(f"The gateway {name} is not complete: give {type(gateway).__name__} {', '.join(missing)}.")
    if gateway.name != name:
        gateway.close()
        raise SettingsError(f'The gateway {name} has another name: set {type(gateway).__name__}.name = "{name}".')
