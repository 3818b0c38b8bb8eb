"""The buyer's order: its page after the purchase, and its cancel, asked once more before it is done."""

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from scripts.example_shop.edge import EngineClient
from scripts.example_shop.web import cart_of, go, read_form, render


def build_orders(edge: EngineClient) -> APIRouter:
    """Return the route that cancels an order."""
    orders = APIRouter()
    shop_form = Depends(read_form)

    @orders.post("/cancel-order")
    def cancel_order(request: Request, form: dict[str, str] = shop_form) -> Response:
        cart_id = cart_of(request)
        # The order is that of the buyer's own cart, whatever the form names.
        order = edge.start(cart_id)["order"]
        if order is None:
            return go("/checkout", cart_id)
        if "key" not in form:
            # The key is in the page that asks: a double click cancels once.
            facts = {"title": "Cancel the order?", "order": edge.read_order(order["id"]), "key": uuid4()}
            return render(request, "cancel_order.html", facts)
        edge.cancel_order(order["id"], form["key"])
        return go("/checkout", cart_id)

    return orders


def show_order(request: Request, edge: EngineClient, checkout: dict[str, Any]) -> Response:
    """Show the order of a completed checkout, as it is now."""
    order = edge.read_order(checkout["order"]["id"])
    title = "Thank you" if order["state"] == "placed" else "Your order is cancelled"
    facts = {"title": title, "checkout": checkout, "currency": checkout["currency"], "order": order}
    return render(request, "order.html", facts)
