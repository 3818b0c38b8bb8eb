"""The parts of the OpenAPI document that all routes share: API keys, rate limits, and every error with its codes."""

from typing import Any, Final

from fastapi import Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from pipeline.errors import Code, sentence
from workers.web.responses.problem_details import MEDIA_TYPE, Problem, make_problem
from workers.web.responses.status_codes import STATUSES, TITLES
from workers.web.schemas.examples import pick_facts
from workers.web.schemas.orders import ChangeView
from workers.web.schemas.responses import CheckoutView

#: For the document only; `OpenRoute.admit` reads the header before anything else.
BEARER: Final = Security(
    HTTPBearer(auto_error=False, scheme_name="apiKey", description="An API key, created with `checkout keys create`")
)

_REF: Final = "#/components/schemas/{model}"


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def _always(*headers: str) -> dict[str, Any]:
    return {name: {**each, "required": True} for name, each in (ABOUT | LIMITS).items() if name in headers}


RETRY_AFTER: Final = _header("seconds after which to repeat the request", "integer")
REPLAYED: Final = _header("`true` for a stored response, or for a change that the key has requested before")
#: Headers of every response about a checkout.
ABOUT: Final = {
    "Location": _header("the address of the checkout's status"),
    "Preference-Applied": _header("the wait that was granted"),
    "Retry-After": RETRY_AFTER,
}
LIMITS: Final = {
    "RateLimit": _header('the rest of the limit: `"writes";r=<requests>;t=<seconds>`, or `"reads"`, or `"anonymous"`'),
    "RateLimit-Policy": _header('the limit that the request counts against: `"writes";q=<requests>;w=60`'),
}

CHECKOUT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": CheckoutView,
        "description": "The checkout is in a stable state: quoted, paid, or undone",
        "headers": ABOUT | _always("Location"),
    },
    202: {
        "model": CheckoutView,
        "description": "In progress, or awaiting 3-D Secure or review: poll the `Location`",
        "headers": ABOUT | _always("Location"),
    },
}

#: The address of the change, in every response about one.
CHANGED: Final = {**ABOUT, "Location": _header("the address of the change of the order")}
CHANGE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": ChangeView,
        "description": "The change is done",
        "headers": CHANGED | {"Location": CHANGED["Location"] | {"required": True}},
    },
    202: {
        "model": ChangeView,
        "description": "It is recorded and will be done, or needs review: poll the `Location`",
        "headers": CHANGED | {"Location": CHANGED["Location"] | {"required": True}},
    },
}

#: Operations with an Idempotency-Key.
KEYED: Final = frozenset(
    {
        *("processCheckout", "cancelOrder", "refundOrder", "restockOrder", "fulfillOrder", "cancelCheckout"),
        *("writeVariants", "writePrices", "changeStock", "transferStock"),
    }
)

#: The response to a browser, at an address with JSON for programs.
PAGE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}


def describe_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of these error responses; `complete` adds the codes of each."""
    return {status: {"description": TITLES[status], "content": {MEDIA_TYPE: {}}} for status in statuses}


def name_operation(route: APIRoute) -> str:
    """Return a route's operation id: its function's name in camel case, for client generators."""
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add to the document what all routes share; each error is described once."""
    components = document["components"]
    problem = Problem.model_json_schema(ref_template=_REF)
    components["schemas"] |= problem.pop("$defs") | {"Problem": problem}
    components["responses"] = {str(status): _describe(status) for status in sorted(TITLES)}
    document["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
    for operations in document["paths"].values():
        for operation in operations.values():
            with_body, with_key = "requestBody" in operation, "security" in operation
            operation["responses"] |= describe_problems(*[408] * with_body, 414, *[421] * with_key, 431)
            for status, response in operation["responses"].items():
                if MEDIA_TYPE in response["content"]:
                    operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}
                elif "security" in operation:
                    response["headers"] = response.get("headers", {}) | _always(*LIMITS)
                    if operation["operationId"] in KEYED:
                        response["headers"]["Idempotency-Replayed"] = REPLAYED
    return document


def _describe(status: int) -> dict[str, Any]:
    codes = [code for code, its_status in STATUSES.items() if its_status == status]
    # Requests without a route are not counted.
    headers: dict[str, Any] = {} if status in {405, 414, 431} else dict(LIMITS)
    if status not in {401, 405, 414, 421, 431}:
        headers["Idempotency-Replayed"] = REPLAYED
    if status in {402, 409, 422, 500, 503}:
        headers |= ABOUT
    if status == 401:
        headers["WWW-Authenticate"] = _header("the scheme, Bearer")
    if status == 405:
        headers["Allow"] = _header("the methods that are possible")
    if status == 429:
        headers["Retry-After"] = RETRY_AFTER
    return {
        "description": f"{TITLES[status]}: {', '.join(codes)}",
        "headers": headers,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": _REF.format(model="Problem")},
                "examples": {code.value: {"value": _example(code)} for code in codes},
            }
        },
    }


def _example(code: Code) -> dict[str, Any]:
    facts = pick_facts(code)
    return make_problem(code, sentence(code, facts), facts).model_dump(mode="json", exclude_none=True)
