"""The courier in a test's hands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from pipeline.messaging import DELIVERIES
from pipeline.settings import Settings
from pipeline.webhooks.outbound.dispatcher import Dispatcher
from pipeline.webhooks.outbound.endpoints import Endpoint, add_endpoint
from tests.support.harness import Shelf, Works


@dataclass
class Post:
    """An engine, its goods, and who brings the news of it."""

    works: Works
    shelf: Shelf
    engine: Engine
    settings: Settings
    dispatcher: Dispatcher

    def subscribe(self, url: str, *kinds: str, owner: str | None = None) -> tuple[Endpoint, str]:
        """Add an endpoint; returns it and its secret."""
        with self.engine.begin() as connection:
            return add_endpoint(connection, self.settings, url=url, owner=owner, kinds=kinds)

    def buy(self, token: str = "tok_ok", **others: Any) -> UUID:
        """Take a cart through the engine."""
        checkout_id = self.works.start(self.shelf.add_cart(("cup", 1)), token=token, **others)
        self.works.pump()
        return checkout_id

    def tick(self) -> int:
        """Let the sweep send what is due and the courier bring it; returns how many messages that were."""
        self.works.sweep()
        ids = self.works.line.take(DELIVERIES, 500)
        if ids:
            self.dispatcher.run(ids)
        return len(ids)

    def rows(self, columns: str = "status, attempts, last_status, last_error") -> list[tuple[Any, ...]]:
        """Return the deliveries, in the order of their events."""
        return self.shelf.rows(f"SELECT {columns} FROM webhook_deliveries ORDER BY event_id, endpoint_id")

    def make_due(self, ids: Sequence[UUID] | None = None) -> None:
        """Let the wait of pending deliveries be over."""
        chosen = "" if ids is None else " AND id = ANY(CAST(:ids AS uuid[]))"
        self.shelf.run(f"UPDATE webhook_deliveries SET due_at = now() WHERE due_at IS NOT NULL{chosen}", ids=ids)

    def age(self, hours: float) -> None:
        """Make every delivery older."""
        self.shelf.run(
            "UPDATE webhook_deliveries SET created_at = created_at - make_interval(secs => :s)", s=hours * 3600
        )
