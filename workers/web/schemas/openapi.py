"""What the OpenAPI document says of all routes alike: keys, limits, and every error with the codes it may carry."""

from typing import Any, Final

from fastapi import Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from pipeline.errors import Code, sentence
from workers.web.responses.problem_details import MEDIA_TYPE, Problem, make_problem
from workers.web.responses.status_codes import STATUSES, TITLES
from workers.web.schemas.examples import pick_facts
from workers.web.schemas.responses import CheckoutView

#: For the document alone; the guard reads the header before anything else is done.
BEARER: Final = Security(
    HTTPBearer(auto_error=False, scheme_name="apiKey", description="An API key, made with `checkout keys create`")
)

_REF: Final = "#/components/schemas/{model}"


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def _always(*headers: str) -> dict[str, Any]:
    return {name: {**each, "required": True} for name, each in (ABOUT | LIMITS).items() if name in headers}


RETRY_AFTER: Final = _header("seconds after which to ask again", "integer")
REPLAYED: Final = _header("`true` for the repeat of an answer")
#: Of every answer about a checkout.
ABOUT: Final = {
    "Location": _header("the address of the checkout's status"),
    "Preference-Applied": _header("the wait that was granted"),
    "Retry-After": RETRY_AFTER,
}
LIMITS: Final = {
    "RateLimit": _header('what is left of the key\'s minute: `"key";r=<requests>;t=<seconds>`'),
    "RateLimit-Policy": _header('what a key may ask: `"key";q=<requests>;w=60`'),
}

RESTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": CheckoutView,
        "description": "The checkout rests: quoted, paid, or undone",
        "headers": ABOUT | _always("Location"),
    },
    202: {
        "model": CheckoutView,
        "description": "In progress, or awaiting 3-D Secure or review: `Location` is where to ask",
        "headers": ABOUT | _always("Location"),
    },
}


#: What a browser is answered at an address that answers programs with JSON.
PAGE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}


def describe_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of these error answers; `complete` has them say which codes each may carry."""
    return {status: {"description": TITLES[status], "content": {MEDIA_TYPE: {}}} for status in statuses}


def name_operation(route: APIRoute) -> str:
    """Return a route's operation id: its function's name, as client generators like it."""
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add to the document what no route says by itself; each error's description stands once."""
    components = document["components"]
    problem = Problem.model_json_schema(ref_template=_REF)
    components["schemas"] |= problem.pop("$defs") | {"Problem": problem}
    components["responses"] = {str(status): _describe(status) for status in sorted(TITLES)}
    document["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"] |= describe_problems(*([408] if "requestBody" in operation else []), 414, 431)
            for status, response in operation["responses"].items():
                if MEDIA_TYPE in response["content"]:
                    operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}
                elif "security" in operation:
                    response["headers"] = response.get("headers", {}) | _always(*LIMITS)
                    if operation["operationId"] == "processCheckout":
                        response["headers"]["Idempotency-Replayed"] = REPLAYED
    return document


def _describe(status: int) -> dict[str, Any]:
    codes = [code for code, its_status in STATUSES.items() if its_status == status]
    # No minute is counted before there is a key, or where there is no route.
    headers: dict[str, Any] = {} if status in {401, 405, 414, 431} else {**LIMITS, "Idempotency-Replayed": REPLAYED}
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
