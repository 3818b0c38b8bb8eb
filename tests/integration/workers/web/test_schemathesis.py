"""Requests of every kind, right and wrong, made from the OpenAPI document: no server error, no undeclared response."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pipeline.security import Scope
from scripts.contracts import DOCS
from tests.integration.workers.web.stage import PREFER, Stage, pay, put_cart, start

#: Requests of each kind to each operation. Two hundred found what twenty find; CI repeats the same ones.
EXAMPLES: Final = 20
OPERATIONS: Final = (
    ("GET", "/checkout"),
    ("POST", "/checkout"),
    ("GET", "/checkout/status"),
    ("POST", "/checkout/cancel"),
    ("PUT", "/carts/{cart_id}"),
    ("GET", "/carts/{cart_id}"),
    ("GET", "/orders"),
    ("GET", "/orders/{order_id}"),
    ("GET", "/orders/{order_id}/changes/{change_id}"),
    ("POST", "/orders/{order_id}/cancel"),
    ("POST", "/orders/{order_id}/refunds"),
    ("POST", "/orders/{order_id}/restocks"),
    ("POST", "/orders/{order_id}/fulfillments"),
    ("GET", "/events"),
    ("GET", "/metrics"),
    ("GET", "/admin/checkout-locks"),
    ("GET", "/admin/checkout-locks/statistics"),
    ("GET", "/admin/checkout-locks/{checkout_id}"),
    ("POST", "/admin/checkout-locks/{checkout_id}/release"),
    ("POST", "/admin/checkout-locks/{checkout_id}/retry"),
    ("POST", "/webhooks/{gateway}"),
    ("GET", "/health/checkout"),
)
#: The last two accept anything, or nothing: there is no wrong request.
CASES: Final = [
    (each, mode) for each in OPERATIONS for mode in GenerationMode if each in OPERATIONS[:-2] or mode.is_positive
]

METHODS: Final = ("get", "put", "post", "delete", "options", "patch", "trace", "query")
WRITTEN: Final[dict[str, Any]] = json.loads((DOCS / "openapi.json").read_text())
#: Headers of responses for their readers; the others are the servers' own.
HEADERS: Final = {
    "allow",
    "idempotency-replayed",
    "location",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_every_limit_has_its_declared_response(stage: Stage, operation: tuple[str, str]) -> None:
    # Given every value at its limits and beyond them, methods that are not there, missing headers, and no key
    document: Any = schemathesis.openapi.from_url(f"{stage.url}/openapi.json")
    method, path = operation
    # The same requests wherever this runs.
    document.config.seed = 4711
    cases = document.iter_coverage_cases(
        document[path][method], generation_modes=list(GenerationMode), generation_config=document.config.generation
    )
    headers = {"Authorization": f"Bearer {stage.token(*Scope)}"}
    statuses: Counter[int] = Counter()
    # When, then
    for case in cases:
        answer = case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
        expect_declared_headers(case, answer)
        statuses[answer.status_code] += 1
    # Then
    assert statuses[405] == sum(method not in WRITTEN["paths"][path] for method in METHODS)
    assert statuses[401] == ("security" in WRITTEN["paths"][path][method.lower()])
    # A request that is not counted any more would not reach its route.
    assert statuses[429] == 0


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{' '.join(each)} {mode.value}" for each, mode in CASES])
def test_every_request_has_a_declared_response(stage: Stage, operation: tuple[str, str], mode: GenerationMode) -> None:
    # Given the document as it is served, and a shop in which something is waiting
    document = schemathesis.openapi.from_url(f"{stage.url}/openapi.json")
    # A list that is too long may be too large a body as well, which is refused before its items are counted.
    rejection = document.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]
    method, path = operation
    stage.shelf.add_variant("cup", stock=1000)
    client = stage.client(*Scope)
    carts = [put_cart(client, ("cup", 1)) for _ in range(2)]
    known: dict[str, list[UUID]] = {
        "cart_id": carts,
        "checkout_id": [UUID(start(client, carts[0]).json()["checkout_id"])],
    }
    if path.startswith("/orders/"):
        known |= _place_order(client)
    headers = {"Authorization": client.headers["Authorization"]}

    statuses: Counter[int] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        case: Any = data.draw(document[path][method].as_strategy(generation_mode=mode))
        if mode is GenerationMode.POSITIVE:
            _name_what_is_there(case, data, known)
        # A request that is wrong because it has no API key stays without one.
        own = headers if mode is GenerationMode.POSITIVE or "Authorization" in (case.headers or {}) else {}
        # What may be sold, and which fields go together, is more than a schema can say: such requests are refused.
        answer = case.call_and_validate(headers=own, excluded_checks=[positive_data_acceptance])
        expect_declared_headers(case, answer)
        statuses[answer.status_code] += 1

    # When, then
    ask()
    # Then, and some of the right ones have got through to the engine itself
    through = sum(count for status, count in statuses.items() if status < 300 or status in {409, 423})
    assert mode.is_negative or through or path.startswith("/webhooks")


def expect_declared_headers(case: Any, answer: Any) -> None:
    """Fail for a header that the document does not have in this response."""
    operation = WRITTEN["paths"][case.operation.path][case.operation.method]
    # Every operation may be requested with a method that it does not have.
    declared = operation["responses"].get(str(answer.status_code), {"$ref": f"#/{answer.status_code}"})
    if "$ref" in declared:
        declared = WRITTEN["components"]["responses"][declared["$ref"].rpartition("/")[2]]
    names = {name.lower() for name in declared.get("headers", {})}
    assert {name.lower() for name in answer.headers} & HEADERS <= names


def _place_order(client: httpx2.Client) -> dict[str, list[UUID]]:
    """Return the ids of an order and of a change of it."""
    order_id = pay(client, {"cart_id": put_cart(client, ("cup", 3))}).json()["order"]["id"]
    headers = {"Idempotency-Key": "first", **PREFER}
    changed = client.post(f"/orders/{order_id}/refunds", json={"amount_minor": 1}, headers=headers)
    return {"order_id": [UUID(order_id)], "change_id": [UUID(changed.json()["id"])]}


def _ask_for_one_thing(case: Any, data: st.DataObject) -> None:
    """Have half of the refunds name one thing, and half of the lines be there: more than a schema can say."""
    if case.method != "POST" or not data.draw(st.booleans()):
        return
    case.body = {"lines": [{"line": 1, "quantity": 1}]}
    if case.path.endswith("/refunds"):
        case.body = {"amount_minor": 1}


def _name_what_is_there(case: Any, data: st.DataObject, known: Mapping[str, list[UUID]]) -> None:
    """Replace most of the made-up ids with ids that exist: else all would be unknown."""
    parts = [part for part in (case.path_parameters, case.query, case.body) if isinstance(part, dict)]
    if not data.draw(st.integers(0, 3)):
        return
    if case.path.startswith("/orders/"):
        case.path_parameters |= {name: str(known[name][0]) for name in known if name in case.path_parameters}
        _ask_for_one_thing(case, data)
        return
    for part in parts:
        is_purchase = part is case.body and case.method == "POST" and case.path.startswith("/checkout")
        names = [name for name in known if name in part] or ["cart_id"] * is_purchase
        if names:
            name = data.draw(st.sampled_from(sorted(names)))
            for other in {*known, "cart"} & part.keys():
                del part[other]
            part[name] = str(data.draw(st.sampled_from(known[name])))
    if case.path == "/checkout" and case.method == "POST" and isinstance(case.body, dict):
        case.body["payment"] = {"token": "tok_ok"}
    if case.path.startswith("/carts") and isinstance(case.body, dict):
        # Which countries, regions and tax ids there are, and which currencies, is more than a schema can say.
        case.body["currency"] = "EUR"
        for name in ("shipping_address", "billing_address", "tax_id", "tax_id_validated"):
            case.body.pop(name, None)
        if data.draw(st.booleans()):
            # Nor which discounts and taxes agree with their line: of twenty random carts it may be that none is right.
            case.body["lines"] = [{"sku": "cup", "quantity": 1}]
    if case.path.startswith("/admin") and isinstance(case.body, dict):
        # Characters that can be shown are more than a schema can say.
        case.body["reason"] = "because"
