"""JSON responses of the admin API about placed orders: what their owners see, and whose they are."""

from datetime import datetime

from pydantic import JsonValue

from workers.web.admin.schemas.responses import StandbyView
from workers.web.schemas.orders import OrderDetailView, OrderEntryView
from workers.web.schemas.responses import View


class OwnedEntryView(OrderEntryView):
    """One order in the list of all owners' orders."""

    owner: str


class OwnedListView(View):
    """A page of orders, newest first; `next_after` is the `after` of the next page, null on the last.

    `standby` is null when the primary was read.
    """

    orders: list[OwnedEntryView]
    next_after: str | None = None
    standby: StandbyView | None = None


class OrderEventView(View):
    """One event of an order, or of its checkout."""

    at: datetime
    kind: str
    phase: str | None = None
    data: dict[str, JsonValue] | None = None


class OwnedDetailView(OrderDetailView):
    """A placed order as its owner sees it, with its owner and its events, oldest first."""

    owner: str
    events: list[OrderEventView]
