"""An example shop over the HTTP edge: goods, a cart, a quote, four ways to pay, an order. Run it beside `checkout up`.

What a shop's team writes is in `example_shop/edge.py` (eight requests) and in the routes below. Payments go to the
sandbox bank, whose page the shop shows itself. Exit codes: 0 ended, 2 the engine's database cannot be reached.
"""

from typing import Annotated, Any, Final
from uuid import uuid4

import typer
import uvicorn
from fastapi import Depends, FastAPI, Request
from sqlalchemy import text
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.catalog import PriceRow, StockRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.security import Scope, create_key
from pipeline.settings import Settings
from scripts.demonstration.buyers import ADDRESS, CUP, CURRENCY, HONEY, KETTLE, TEA, TEAPOT
from scripts.environments.command_transaction import open_transaction
from scripts.example_shop.bank import build_bank, find_page
from scripts.example_shop.edge import EngineClient, EngineRefusal
from scripts.example_shop.order import build_orders, show_order
from scripts.example_shop.web import COOKIE, cart_of, go, read_form, render
from workers.web.protection.request_bounds import RequestBounds

GOODS: Final = (KETTLE, TEAPOT, CUP, TEA, HONEY)
#: The sandbox bank's tokens. A real shop gets its token from the provider's own form in the buyer's browser.
CARDS: Final = {
    "tok_ok": "A good card",
    "tok_declined": "A card that is declined",
    "tok_action_required": "A card with 3-D Secure",
}
OWNER: Final = "example-shop"

KNOWN: Final = text("SELECT sku FROM variants WHERE sku = ANY(CAST(:skus AS text[]))")


def build_shop(edge: EngineClient, settings: Settings) -> FastAPI:
    """Return the shop's web application."""
    shop = FastAPI(openapi_url=None)
    shop.add_middleware(RequestBounds, cookie=COOKIE)
    shop.include_router(build_bank(settings))
    shop.include_router(build_orders(edge))
    shop_form = Depends(read_form)

    @shop.get("/")
    def show_goods(request: Request, said: str = "") -> Response:
        cart = edge.read_cart(cart_of(request))
        facts = {"title": "A small shop", "goods": GOODS, "currency": CURRENCY, "said": said, "cart": cart}
        return render(request, "goods.html", facts)

    @shop.post("/cart")
    def add_to_cart(request: Request, form: dict[str, str] = shop_form) -> Response:
        cart_id = cart_of(request)
        cart = edge.read_cart(cart_id)
        lines = {line["sku"]: line["quantity"] for line in (cart["lines"] if cart else [])}
        sku = form.get("sku", "")
        lines[sku] = lines.get(sku, 0) + 1
        body = {
            "currency": CURRENCY,
            "lines": [{"sku": each, "quantity": quantity} for each, quantity in lines.items()],
            "shipping_address": ADDRESS,
        }
        edge.write_cart(cart_id, body)
        return go("/", cart_id)

    @shop.get("/checkout")
    def show_checkout(request: Request) -> Response:
        # The bank sends the buyer back to this page too: the engine then retrieves the payment.
        return _show(request, edge, edge.start(cart_of(request)))

    @shop.post("/pay")
    def pay(request: Request, form: dict[str, str] = shop_form) -> Response:
        cart_id = cart_of(request)
        try:
            # The key is in the page: a double click, or a repeated form, pays once.
            total_minor = int(form.get("total_minor", "0"))
            edge.pay(form.get("checkout_id", ""), form.get("card", ""), total_minor, form.get("key", ""))
        except EngineRefusal as refusal:
            if refusal.code != "payment_declined":
                raise
        return go("/checkout", cart_id)

    @shop.post("/cancel")
    def cancel(request: Request, form: dict[str, str] = shop_form) -> Response:
        del form
        edge.cancel(cart_of(request))
        return go("/?said=Cancelled:+nothing+was+charged,+and+your+cart+is+open+again.", cart_of(request))

    @shop.post("/new")
    def begin_anew(form: dict[str, str] = shop_form) -> Response:
        del form
        return go("/", uuid4())

    @shop.exception_handler(EngineRefusal)
    def explain(request: Request, refusal: EngineRefusal) -> Response:
        facts = {"title": "That did not work", "sentence": str(refusal)}
        return render(request, "problem.html", facts, status=refusal.status)

    @shop.exception_handler(HTTPException)
    def explain_address(request: Request, error: HTTPException) -> Response:
        sentence = str(error.detail) if error.status_code == 403 else "There is no such page."
        return render(request, "problem.html", {"title": "Sorry", "sentence": sentence}, status=error.status_code)

    return shop


def _show(request: Request, edge: EngineClient, checkout: dict[str, Any]) -> Response:
    """Show a checkout by its state: to be paid, at the bank, or an order."""
    facts = {"checkout": checkout, "currency": checkout["currency"]}
    if checkout["state"] == "completed":
        return show_order(request, edge, checkout)
    if checkout["state"] == "awaiting_payment":
        said = checkout["failure"]["message"] if checkout["failure"] else ""
        payment = {"title": "Your order", "cards": CARDS, "key": uuid4(), "said": said}
        return render(request, "checkout.html", {**facts, **payment})
    page = find_page(checkout["action"]) if checkout["action"] else "/checkout"
    return render(request, "waiting.html", {**facts, "title": "One moment", "page": page})


def stock_goods() -> tuple[Settings, str]:
    """Put the shop's goods on sale where they are not yet, and make a key; return settings and key."""
    with open_transaction("example-shop") as (connection, settings):
        there = set(connection.execute(KNOWN, {"skus": [each.sku for each in GOODS]}).scalars())
        new = [each for each in GOODS if each.sku not in there]
        upsert_variants(connection, [VariantRow(each.sku, each.title) for each in new])
        set_prices(connection, [PriceRow(each.sku, CURRENCY, each.price_minor) for each in new])
        set_stock(connection, [StockRow(each.sku, "main", each.units) for each in new], create_locations=True)
        _, key = create_key(
            connection,
            owner=OWNER,
            name="example-shop",
            scopes=[Scope.CHECKOUT, Scope.ORDERS],
            days=1,
            cell=settings.cell,
        )
    return settings, key


def main(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where to listen; 0 chooses a free port.")] = 8080,
    edge: Annotated[str | None, typer.Option(help="Where the HTTP edge is, if not where the settings say.")] = None,
) -> None:
    """Serve the example shop: put its goods into the catalog, make a key for a day, and print its address."""
    settings, key = stock_goods()
    url = edge or f"http://{settings.web_host}:{settings.web_port}"
    config = uvicorn.Config(build_shop(EngineClient(url, key), settings), port=port, log_level="warning")
    socket = config.bind_socket()
    # A request that comes as soon as the address is printed waits a moment, and is not refused.
    socket.listen()
    print(f"The shop is open: http://127.0.0.1:{socket.getsockname()[1]}/ (Ctrl-C closes it)", flush=True)
    uvicorn.Server(config).run(sockets=[socket])


if __name__ == "__main__":
    typer.run(main)
