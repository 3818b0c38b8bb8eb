"""Pages, forms and the cookie of the example shop."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID, uuid4

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from models.money import Money
from pipeline.security.printable import show_in_page

PAGES: Final = Path(__file__).parent / "templates"
COOKIE: Final = "cart"
#: No form here has more than five fields of some dozen characters.
MAX_FORM_BYTES: Final = 16 * 1024
MAX_FIELDS: Final = 20
#: No page needs a script, and none may be shown inside another's.
POLICY: Final = "default-src 'none'; style-src 'self' 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


@cache
def load_pages() -> Environment:
    """Return the templates; values put into them are escaped."""
    pages = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, finalize=show_in_page, undefined=StrictUndefined
    )
    pages.filters["money"] = lambda minor, currency: str(Money(minor, currency))
    return pages


def render(request: Request, page: str, facts: Mapping[str, Any], *, status: int = 200) -> Response:
    """Return a page, with the cookie that names the buyer's cart."""
    response = HTMLResponse(load_pages().get_template(page).render(facts), status)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = POLICY
    keep_cart(response, cart_of(request))
    return response


def go(path: str, cart_id: UUID) -> Response:
    """Send the browser to a page that may be refreshed."""
    response = RedirectResponse(path, 303)
    keep_cart(response, cart_id)
    return response


def keep_cart(response: Response, cart_id: UUID) -> None:
    """Set the cookie that names the buyer's cart."""
    response.set_cookie(COOKIE, str(cart_id), httponly=True, samesite="lax")


def cart_of(request: Request) -> UUID:
    """Return the cart of the cookie, or a new one."""
    if not hasattr(request.state, "cart_id"):
        try:
            request.state.cart_id = UUID(request.cookies.get(COOKIE, ""))
        except ValueError:
            request.state.cart_id = uuid4()
    found: UUID = request.state.cart_id
    return found


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form of the shop; another site's page may not send one."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise HTTPException(403, "This form was sent from another site.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, "This form is too large.")
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS)
    except ValueError:
        raise HTTPException(422, "This form has too many fields.") from None
    return {name: values[0] for name, values in fields.items()}
