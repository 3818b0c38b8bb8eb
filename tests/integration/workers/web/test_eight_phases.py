"""The HTTP API and the documents count the phases of the chain: with an eighth one they say eight."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine

from pipeline.saga import get_chain
from pipeline.security import Scope
from pipeline.settings import Settings
from tests.integration.saga.eighth import NAME, insert_phase
from tests.integration.workers.web.stage import BODY, Stage, find_url, pay, read_status, serve, spin_until, work
from tests.support.harness import Shelf
from workers.asyncapi import build_document


def test_the_api_shows_eight_phases(
    engine: Engine, run_settings: Settings, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    # Given workers and an HTTP process that were started with eight phases
    del redis_url
    insert_phase(monkeypatch, after="price_lock")
    settings = run_settings.model_copy(update={"redeliver_after_seconds": 2.0})
    with work(settings) as workers, serve(settings) as server:
        stage = Stage(settings, server, workers, engine, shelf, find_url(server))
        shelf.add_variant("cup", stock=9, price_minor=250)
        client = stage.client(Scope.CHECKOUT, Scope.ADMIN)
        # When
        answer = pay(client, {"cart": BODY | {"id": str(uuid4())}})
        # Then
        assert answer.status_code == 200, answer.text
        status = read_status(client, checkout_id=answer.json()["checkout_id"])
        assert (status["state"], status["phases_completed"], status["phase_name"]) == ("completed", 8, "stock_commit")
        statistics = client.get("/admin/checkout-locks/statistics").json()
        assert [step["name"] for step in statistics["steps"]] == [*(phase.name for phase in get_chain()), "unwind"]
        assert [step["per_minute"] for step in statistics["steps"][:-1]] == [1] * 8
        assert f"checkout.{NAME}" in {queue["queue"] for queue in statistics["queues"]}
        spin_until(stage.is_idle, "the workers are idle")
        stage.close()


def test_the_document_of_the_queues_describes_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    insert_phase(monkeypatch, after="price_lock")
    channels = build_document()["channels"]
    summaries = [channels[phase.queue]["messages"][phase.name]["summary"] for phase in get_chain()]
    assert summaries[3:5] == [
        "A checkout whose phase 4, fraud_check, is next.",
        "A checkout whose phase 5, payment_authorization, is next.",
    ]
    assert len(summaries) == 8
