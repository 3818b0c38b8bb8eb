"""Orders and their changes as JSON for HTTP."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from models.states import ChangeState
from pipeline.orders.reading import ChangeView as StoredChange
from pipeline.orders.reading import OrderPage, OrderView
from workers.web.schemas.orders import (
    ChangeView,
    OrderDetailView,
    OrderEntryView,
    OrderLineView,
    OrderListView,
    OrderPaymentView,
)
from workers.web.schemas.responses import ChargeView, FailureView, PricedView, TotalsView

#: In these the outcome says why.
_UNDONE: Final = frozenset({ChangeState.FAILED, ChangeState.NEEDS_REVIEW})
_SAME: Final = tuple(name for name in OrderDetailView.model_fields if name in OrderView.__dataclass_fields__)
_MADE: Final = frozenset({"shipping", "payment", "lines", "changes"})


def view_orders(page: OrderPage) -> OrderListView:
    """Return the view of a page."""
    entries = [OrderEntryView.model_validate(each) for each in page.entries]
    return OrderListView(orders=entries, next_after=page.next_after)


def view_order(order: OrderView) -> OrderDetailView:
    """Return the view of an order."""
    return OrderDetailView(
        **{name: getattr(order, name) for name in _SAME if name not in _MADE},
        totals=TotalsView.model_validate(order),
        shipping=None if order.shipping is None else PricedView(**_read_charges(order.shipping)),
        payment=None if order.payment is None else OrderPaymentView.model_validate(order.payment),
        lines=[
            OrderLineView(**_read_charges({name: getattr(line, name) for name in OrderLineView.model_fields}))
            for line in order.lines
        ],
        changes=[view_change(each) for each in order.changes],
    )


def view_change(change: StoredChange) -> ChangeView:
    """Return the view of a change; what only operators need to know is left out."""
    fields = {name: getattr(change, name) for name in ChangeView.model_fields if hasattr(change, name)}
    facts = {name: change.options.get(name) for name in ("restock", "carrier", "tracking")}
    return ChangeView(**fields, **facts, dispute_state=change.outcome.get("state"), failure=find_failure(change))


def find_failure(change: StoredChange) -> FailureView | None:
    """Return why a change failed, or what a person must settle."""
    outcome = change.outcome
    if change.state not in _UNDONE or "code" not in outcome:
        return None
    return FailureView(code=outcome["code"], message=outcome["message"], detail=outcome.get("detail") or {})


def _read_charges(frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Return frozen amounts with their discounts and taxes as quotes show them."""
    return {**frozen, "discounts": _view(frozen["discounts"], "text"), "taxes": _view(frozen["taxes"], "name")}


def _view(charges: Iterable[Mapping[str, Any]], name: str) -> list[ChargeView]:
    return [ChargeView(name=each[name], amount_minor=each["amount_minor"], rate=each.get("rate")) for each in charges]
