"""The gateways there are, by the name that `CHECKOUT_GATEWAY` gives. A new adapter is one line here."""

from collections.abc import Callable, Mapping
from typing import Final

from pipeline.gateways.protocol import Gateway
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.settings import Settings

GATEWAYS: Final[Mapping[str, Callable[[Settings], Gateway]]] = {
    SandboxGateway.name: SandboxGateway,
}


def build_gateway(settings: Settings) -> Gateway:
    """Return the gateway of the settings; raise ValueError when there is none of that name. Close it at the end."""
    build = GATEWAYS.get(settings.gateway)
    if build is None:
        known = ", ".join(sorted(GATEWAYS))
        raise ValueError(f"There is no gateway {settings.gateway!r}: set CHECKOUT_GATEWAY to one of {known}.")
    return build(settings)
