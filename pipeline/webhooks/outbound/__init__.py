"""Outbound webhooks, to the shop: endpoints, bodies, addresses that may be called, and the dispatcher that calls them.

Public modules: `payloads` (the body of each event).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.webhooks.outbound.endpoints import (
    add_endpoint,
    draw_secret,
    list_deliveries,
    list_endpoints,
    remove_endpoint,
    replay,
)

# Imported when a name is asked for: commands that manage endpoints call none, and need no HTTP client.
if TYPE_CHECKING:
    from pipeline.webhooks.outbound.dispatcher import Dispatcher
else:

    def __getattr__(name: str) -> object:
        if name != "Dispatcher":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module("pipeline.webhooks.outbound.dispatcher").Dispatcher


__all__ = [
    "Dispatcher",
    "add_endpoint",
    "draw_secret",
    "list_deliveries",
    "list_endpoints",
    "remove_endpoint",
    "replay",
]
