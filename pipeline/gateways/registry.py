"""The gateways there are: whatever is installed under the entry-point group, by the name that `CHECKOUT_GATEWAY` gives.

An entry point is a callable that takes the settings and returns a `Gateway`, or raises SettingsError.
"""

from importlib.metadata import entry_points
from typing import Final, cast

from pipeline.gateways.choice import require_choice
from pipeline.gateways.gateway import Gateway
from pipeline.settings import Settings, SettingsError

GROUP: Final = "checkout_engine.gateways"

#: A claim must outlast its call by this much, or two workers could make the same call at once.
CLAIM_MARGIN_SECONDS: Final = 0.2

#: How long a call may wait for its turn where the settings leave the claim to the gateway: a batch of 256 through 64
#: calls at once, at a bank that takes 0.6 s for each. What has waited longer is put off, not made.
TURN_SECONDS: Final = 2.5


def build_gateway(settings: Settings) -> Gateway:
    """Return the gateway of the settings; SettingsError says what to set when there is none. Close it at the end."""
    require_choice(settings)
    found = entry_points(group=GROUP)
    if settings.gateway not in found.names:
        known = ", ".join(sorted(found.names))
        raise SettingsError(f"There is no gateway {settings.gateway!r}: set CHECKOUT_GATEWAY to one of {known}.")
    gateway = cast("Gateway", found[settings.gateway].load()(settings))
    if not hasattr(gateway, "chargeable"):
        gateway.close()
        raise SettingsError(
            f"The gateway {settings.gateway} is of an earlier release: install one of it that knows what it can charge."
        )
    if 0 < settings.gateway_lease_seconds < gateway.call_seconds + CLAIM_MARGIN_SECONDS:
        gateway.close()
        raise SettingsError(
            f"A call of {gateway.name} can take {gateway.call_seconds:g} s: "
            f"set CHECKOUT_GATEWAY_LEASE_SECONDS to more, or CHECKOUT_GATEWAY_TIMEOUT_SECONDS to less."
        )
    return gateway


def fit_claim(settings: Settings, gateway: Gateway) -> Settings:
    """Return the settings with a claim that outlasts the calls of this gateway, where they leave it to the gateway."""
    if settings.gateway_lease_seconds > 0:
        return settings
    return settings.model_copy(update={"gateway_lease_seconds": gateway.call_seconds + TURN_SECONDS})
