"""What the OpenAPI document says of all routes alike."""

from typing import Any, Final

from fastapi import Security
from fastapi.security import HTTPBearer

from pipeline.errors import SENTENCES, Code
from workers.web.problems import MEDIA_TYPE, TYPE_PREFIX, Problem
from workers.web.statuses import STATUSES, TITLES
from workers.web.views import CheckoutView

#: For the document alone; the guard reads the header before anything else is done.
BEARER: Final = Security(
    HTTPBearer(auto_error=False, scheme_name="apiKey", description="An API key, made with `scripts/keys.py create`")
)

_RETRY_AFTER: Final = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}

ON_ITS_WAY: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "model": CheckoutView,
        "description": "Accepted, and not at its end: `Location` is where to ask",
        "headers": {
            "Location": {"description": "the status of the checkout", "schema": {"type": "string"}},
            "Preference-Applied": {"description": "the wait that was granted", "schema": {"type": "string"}},
        },
    }
}


def describe_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of these error answers: the codes that each may carry, and an example."""
    return {status: _describe(status) for status in statuses}


def _describe(status: int) -> dict[str, Any]:
    codes = [code for code, its_status in STATUSES.items() if its_status == status]
    described: dict[str, Any] = {
        "model": Problem,
        "description": f"{TITLES[status]}: {', '.join(codes)}",
        "content": {MEDIA_TYPE: {"example": _example(codes[0])}},
    }
    if status in {429, 503}:
        described["headers"] = _RETRY_AFTER
    return described


def _example(code: Code) -> dict[str, Any]:
    status = STATUSES[code]
    return {
        "type": f"{TYPE_PREFIX}{code}",
        "title": TITLES[status],
        "status": status,
        "detail": SENTENCES[code],
        "code": code.value,
    }
