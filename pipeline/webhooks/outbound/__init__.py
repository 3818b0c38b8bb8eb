"""Outbound webhooks to the shop: endpoints, bodies, the addresses they may have, and the dispatcher.

Public modules: `feed` (events that a shop reads), `payloads` (the body of each event).
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily

# Imported when a name is used: commands that manage endpoints call none, and workers that call them manage none.
if TYPE_CHECKING:
    from pipeline.webhooks.outbound.dispatcher import Dispatcher
    from pipeline.webhooks.outbound.endpoints import (
        add_endpoint,
        draw_secret,
        list_deliveries,
        list_endpoints,
        remove_endpoint,
        replay,
    )
    from pipeline.webhooks.outbound.replays import replay_since

__all__ = [
    "Dispatcher",
    "add_endpoint",
    "draw_secret",
    "list_deliveries",
    "list_endpoints",
    "remove_endpoint",
    "replay",
    "replay_since",
]

if not TYPE_CHECKING:
    __getattr__ = import_lazily(
        __name__,
        {**dict.fromkeys(__all__, "endpoints"), "Dispatcher": "dispatcher", "replay_since": "replays"},
    )
