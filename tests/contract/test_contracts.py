"""The two documents match the code, are complete, and have valid examples."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import typer
from dramatiq.brokers.stub import StubBroker
from typer.testing import CliRunner

from pipeline.checkouts.events import PUBLIC_KINDS
from pipeline.errors import Code
from pipeline.operations.statistics import list_queues
from pipeline.webhooks.outbound.payloads import EVENT
from scripts import contracts
from workers.actors import declare_actors
from workers.asyncapi import EVENTS
from workers.broker.message_validation import MemberOption, QueuedMessage, read_member
from workers.intake import read_request
from workers.web.schemas.requests import CartForm, CheckoutForm

OPENAPI: Final[dict[str, Any]] = json.loads((contracts.DOCS / "openapi.json").read_text())
ASYNCAPI: Final[dict[str, Any]] = json.loads((contracts.DOCS / "asyncapi.json").read_text())


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every operation."""
    for path, methods in OPENAPI["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def read_response(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response, its own or a shared one."""
    name = response.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = OPENAPI["components"]["responses"][name] if name else response
    return found


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a self-contained schema."""
    return {**schema, "components": OPENAPI["components"]}


def test_both_documents_match_the_code() -> None:
    assert contracts.find_stale(contracts.DOCS) == [], "run `checkout contracts`"


def test_one_that_differs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an old document, and a missing one
    monkeypatch.setattr(contracts, "DOCS", tmp_path)
    (tmp_path / "openapi.json").write_text("{}\n")
    app = typer.Typer()
    app.command()(contracts.main)
    # When
    checked = CliRunner().invoke(app, ["--check"])
    # Then nothing is written
    assert checked.exit_code == 1
    assert checked.stderr.splitlines() == [
        f"docs/{name} differs from the code: run `checkout contracts`." for name in ("openapi.json", "asyncapi.json")
    ]
    assert (tmp_path / "openapi.json").read_text() == "{}\n"
    # When
    CliRunner().invoke(app, [])
    # Then
    assert CliRunner().invoke(app, ["--check"]).exit_code == 0


def test_every_operation_is_fully_described() -> None:
    for name, operation in operations():
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["operationId"].isidentifier(), name
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], name
        for status, given in operation["responses"].items():
            response = read_response(given)
            assert response["description"] != "Successful Response", (name, status)
            # 304 has no body.
            assert bool(response["content"]) == (status != "304"), (name, status)
            if int(status) >= 400 and (name, status) != ("get /health/checkout", "503"):
                assert list(response["content"]) == ["application/problem+json"], (name, status)
    assert "HTTPValidationError" not in OPENAPI["components"]["schemas"]


def test_every_code_stands_among_the_problems() -> None:
    found = {
        code
        for _, operation in operations()
        for response in operation["responses"].values()
        for content in read_response(response)["content"].values()
        for code in content.get("examples", {})
    }
    # Of the others, one is for methods that the document does not have, and one for messages only.
    assert {code.value for code in Code} - found == {"method_not_allowed", "external_amounts_refused"}


def test_every_example_is_of_its_schema() -> None:
    checked = 0
    for response in OPENAPI["components"]["responses"].values():
        for content in response["content"].values():
            for example in content["examples"].values():
                jsonschema_rs.validate(resolve(content["schema"]), example["value"])
                assert "?" not in example["value"]["detail"]
                assert set(example["value"]) >= {"type", "title", "status", "detail", "code", "facts"}
                checked += 1
    for name, schema in OPENAPI["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            jsonschema_rs.validate(resolve(schema), example)
            checked += 1
        if name in {"CartView", "CheckoutView", "StatusView", "HealthView", "Problem", "CheckoutForm", "CartForm"}:
            assert schema["examples"], name
    assert checked >= len(Code)


def test_the_code_accepts_the_examples() -> None:
    schemas = OPENAPI["components"]["schemas"]
    for example in schemas["CheckoutForm"]["examples"]:
        assert CheckoutForm.model_validate(example).to_request("shop-1", "k").owner == "shop-1"
    for example in schemas["CartForm"]["examples"]:
        assert CartForm.model_validate(example).lines[0].sku == "kettle"


def test_every_queue_and_every_event_has_its_message() -> None:
    assert set(ASYNCAPI["channels"]) == {*list_queues(), "webhooks"}
    assert set(ASYNCAPI["components"]["messages"]) == set(PUBLIC_KINDS)
    assert set(ASYNCAPI["channels"]["webhooks"]["messages"]) == set(PUBLIC_KINDS)
    assert len(EVENTS) == len(PUBLIC_KINDS)


def test_every_webhook_example_is_what_is_sent() -> None:
    for kind, message in ASYNCAPI["components"]["messages"].items():
        [example] = message["examples"]
        jsonschema_rs.Draft7Validator({**message["payload"], "components": ASYNCAPI["components"]}).validate(
            example["payload"]
        )
        event = EVENT.validate_python(example["payload"])
        assert event.type == kind
        # The example has exactly the fields that are sent.
        assert event.model_dump(mode="json") == example["payload"]


def test_the_workers_accept_the_messages() -> None:
    for queue in list_queues():
        [message] = ASYNCAPI["channels"][queue]["messages"].values()
        [example] = message["examples"]
        # AsyncAPI's schemas use this draft: its readers ignore newer keywords.
        schema = jsonschema_rs.Draft7Validator({**message["payload"], "components": ASYNCAPI["components"]})
        schema.validate(example["payload"])
        wrongs: list[dict[str, Any]] = [{"kwargs": {"a": 1}}, {"args": []}, {"args": [5]}, {"queue_name": "other"}]
        for wrong in [*wrongs, {"more": 1}]:
            assert not schema.is_valid(example["payload"] | wrong), (queue, wrong)
        actors = declare(queue)
        member = read_member(json.dumps(example["payload"]).encode(), queue, actors)
        assert isinstance(member, QueuedMessage), member
        if queue == "checkout.intake":
            assert read_request(member.argument).idempotency_key == "order-4711"
            keyless = {name: value for name, value in member.argument.items() if name != "idempotency_key"}
            assert not schema.is_valid(example["payload"] | {"args": [keyless]})


def declare(queue: str) -> Any:
    """Return the actors of a queue as the workers declare them."""

    class Engine:
        broker = StubBroker(middleware=[MemberOption()])

    declare_actors(Engine())  # type: ignore[arg-type]  # only the broker is used
    return Engine.broker.actors
