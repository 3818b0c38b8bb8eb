"""The admin pages, from templates that escape their values. No page has a script."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from models.money import Money
from models.states import CheckoutState
from pipeline.gateways import read_choice
from pipeline.intake import STATE_NAMES
from pipeline.operations.order_detail import describe_change, write_address
from pipeline.security.printable import show_in_page
from workers.overview import format_seconds

FOLDER: Final = Path(__file__).parent


def wants_page(request: Request) -> bool:
    """Return whether the client wants a page: browsers name text/html, programs do not."""
    return "text/html" in request.headers.get("accept", "")


def render_page(request: Request, name: str, facts: Mapping[str, Any], *, status: int = 200) -> Response:
    """Return a page. Its facts must have a `title`; the session is the request's."""
    caller = getattr(request.state, "caller", None)
    gateway = read_choice(request.app.state.context.settings)
    shared = {"caller": caller, "path": request.url.path, "gateway": gateway}
    content = _load().get_template(name).render({**facts, **shared})
    headers = {
        "Content-Security-Policy": _policy(),
        "Referrer-Policy": "same-origin",
        "Vary": "Accept",
        "X-Frame-Options": "DENY",
    }
    return HTMLResponse(content, status, headers)


def link_pages(request: Request, cursor: str, following: object | None) -> dict[str, Any]:
    """Return the facts of a list's page that lead to its others: `cursor` is the parameter that names where one begins.

    `following` is where the next page begins; None on the last.
    """
    query = {name: value for name, value in request.query_params.items() if name != cursor}
    return {
        "query": query,
        "is_first": cursor not in request.query_params,
        "newest": urlencode(query),
        "following": None if following is None else urlencode({**query, cursor: following}),
    }


@cache
def _load() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        finalize=show_in_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals["style"] = Markup(_read_style())  # noqa: S704 (a file of this package)
    pages.filters |= {
        "address": write_address,
        "change": describe_change,
        "facts": _write_facts,
        "moment": _write_moment,
        "money": lambda minor, currency: "" if minor is None else str(Money(minor, currency)),
        "seconds": format_seconds,
        "state": lambda state: STATE_NAMES[CheckoutState(state)],
        "words": lambda name: str(name).replace("_", " "),
    }
    return pages


@cache
def _read_style() -> str:
    return (FOLDER / "style.css").read_text()


@cache
def _policy() -> str:
    # The one style is named by its hash: injected styles are not applied, and injected scripts do not run.
    digest = base64.b64encode(hashlib.sha256(_read_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _write_moment(at: datetime | None) -> str:
    if at is None:
        return ""
    return Markup('<time datetime="{}">{} UTC</time>').format(
        at.isoformat(), at.isoformat(sep=" ", timespec="seconds")[:19]
    )


def _write_facts(data: Mapping[str, Any]) -> str:
    """Return the data of an event in one line, without braces."""
    parts = (
        _write_facts(value) if isinstance(value, Mapping) else f"{name.replace('_', ' ')}: {value}"
        for name, value in data.items()
    )
    return ", ".join(part for part in parts if part)
