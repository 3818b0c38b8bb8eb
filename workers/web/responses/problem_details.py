"""Errors over HTTP: RFC 9457 problem details, the status of every code, and never a traceback."""

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.database import is_transient
from pipeline.errors import CheckoutError, Code, Invalid, Refused, Unavailable
from pipeline.errors.objections import explain_objection
from pipeline.field_types import MAX_REASON
from pipeline.saga import find_phase
from pipeline.security.card_numbers import redact
from workers.web.responses.status_codes import RETRY_AFTER_SECONDS, STATUSES, TITLES

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
#: A name, not an address: docs/integration.md has the table of codes.
TYPE_PREFIX: Final = "urn:checkout:problem:"

#: Responses are about one buyer's money: no proxy may store them, and no browser may guess their type.
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

#: Problems that a repeat of the same request solves. A checkout that failed with a 503 has ended: no repeat helps.
_PASSING: Final = frozenset(
    {
        *(Code.UNAVAILABLE, Code.READING_UNAVAILABLE, Code.OVERLOADED, Code.OWNER_MOVING),
        *(Code.RATE_LIMITED, Code.SIGN_INS_LIMITED, Code.KEY_RUNNING),
    }
)


class Problem(BaseModel):
    """Why a request was not carried out, or a checkout did not become an order.

    `type` and `code` are stable; `detail` is a sentence for people; `facts` are the values in the sentence.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": f"{TYPE_PREFIX}out_of_stock",
                    "title": "Conflict",
                    "status": 409,
                    "detail": '"kettle" is sold out: remove it.',
                    "code": "out_of_stock",
                    "checkout_id": "0190f3c1-5a5e-7cc2-9d1e-6f0b3a0c4d11",
                    "phase": find_phase(2).name,
                    "facts": {"sku": "kettle", "requested": 1, "available": 0},
                }
            ]
        }
    )

    type: str = Field(description="`urn:checkout:problem:` and the code")
    title: str
    status: int
    detail: str
    code: Code
    checkout_id: UUID | None = None
    phase: str | None = None
    facts: dict[str, JsonValue] = {}


def make_problem(
    code: Code,
    detail: str,
    facts: Mapping[str, Any],
    *,
    checkout_id: UUID | None = None,
    phase: str | None = None,
) -> Problem:
    """Return the problem of this code."""
    status = STATUSES[code]
    return Problem(
        type=f"{TYPE_PREFIX}{code}",
        title=TITLES[status],
        status=status,
        detail=detail,
        code=code,
        checkout_id=checkout_id or _read_id(facts.get("checkout_id")),
        phase=phase or facts.get("phase"),
        facts=json.loads(json.dumps(dict(facts), default=str)),
    )


def render(problem: Problem) -> Response:
    """Return the response, with the headers of its status."""
    headers = {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="checkout"'
    if problem.code in _PASSING:
        headers["Retry-After"] = str(problem.facts.get("seconds", RETRY_AFTER_SECONDS))
    if problem.code is Code.REQUEST_TIMEOUT:
        headers["Connection"] = "close"
    if problem.code is Code.METHOD_UNKNOWN:
        headers["Allow"] = str(problem.facts["allowed"])
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, media_type=MEDIA_TYPE, headers=headers)


def explain(error: Exception, request: Request) -> Problem:
    """Return the problem of any error; an unexpected exception is logged, and reported without its text."""
    match error:
        case CheckoutError():
            return explain_refusal(error)
        case RequestValidationError():
            return explain_refusal(_read_objection(error))
        case HTTPException(status_code=404):
            return explain_refusal(Refused(Code.ROUTE_UNKNOWN))
        case HTTPException(status_code=405):
            allowed = ", ".join(_find_methods(request))
            return explain_refusal(Refused(Code.METHOD_UNKNOWN, method=request.method, allowed=allowed))
        case HTTPException(__cause__=CheckoutError() as cause):
            # FastAPI wraps errors that are raised while the body is read.
            return explain_refusal(cause)
        case HTTPException():
            return explain_refusal(Invalid(Code.REQUEST_INVALID, reason="its body cannot be read"))
        case _ if is_transient(error):
            log.warning("request.deferred", error=str(error))
            return explain_refusal(Unavailable(Code.UNAVAILABLE))
        case _:
            log.error("request.raised", exc_info=error)
            return explain_refusal(CheckoutError(Code.INTERNAL_ERROR, error=type(error).__name__))


def explain_refusal(error: CheckoutError) -> Problem:
    """Return the problem of an error of the engine."""
    return make_problem(error.code, str(error), error.detail)


def _find_methods(request: Request) -> list[str]:
    """Return the methods of every route at this address."""
    routes: list[APIRoute] = request.app.state.routes
    here = [route for route in routes if route.path_regex.match(request.url.path)]
    return sorted({method for route in here for method in route.methods or ()})


def _read_id(fact: object) -> UUID | None:
    """Return an id among the facts; None for a text in its place, such as `for cart ...`."""
    try:
        return UUID(str(fact))
    except ValueError:
        return None


def _read_objection(error: RequestValidationError) -> Invalid:
    """Return the first mistake of a request, with the field's name and without its value."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    if where[0] == "header" and where[1].lower() == "idempotency-key":
        return Invalid(Code.KEY_REQUIRED)
    if first["type"] == "json_invalid":
        reason = f"body is not JSON at character {where[-1]} ({first['ctx']['error']})"
        return Invalid(Code.REQUEST_INVALID, reason=reason)
    return Invalid(Code.REQUEST_INVALID, reason=redact(explain_objection(where, first), MAX_REASON))
