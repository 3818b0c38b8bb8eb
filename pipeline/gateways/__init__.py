"""Gateways: adapters of payment providers behind one protocol; which one the settings choose, and how it is built.

Public modules: `charges` (partial refunds, disputes), `choice`, `gateway` (the contract: calls, answers), `installed`
(the gateways there are), `sandbox.bank`, `sandbox.webhook_events`, `sandbox.settings`.
"""

from pipeline.gateways.choice import describe_choice, read_choice, require_choice
from pipeline.gateways.gateway import Gateway
from pipeline.gateways.registry import build_gateway, fit_lease
from pipeline.gateways.settings import GatewaySettings, MoneyKind

__all__ = [
    "Gateway",
    "GatewaySettings",
    "MoneyKind",
    "build_gateway",
    "describe_choice",
    "fit_lease",
    "read_choice",
    "require_choice",
]
