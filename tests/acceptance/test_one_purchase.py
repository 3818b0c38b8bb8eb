"""One purchase on real servers, by a real worker: what `python3 scripts/dev.py test --quick` runs of this folder."""

from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from pipeline.intake import StartRequest
from pipeline.settings import Settings
from scripts.environments.fleet import read_procfile
from tests.support.harness import ADDRESS, Shelf
from tests.support.processes import BANK_TIMES, TIMES, run_processes
from workers.bootstrap import build_components

pytestmark = pytest.mark.acceptance


def test_a_cart_is_paid_once(database_url: str, redis_url: str, engine: Engine, tmp_path: Path) -> None:
    # Given one worker for the queues of the Procfile, and three cups
    queues = " ".join(line.split(" -Q ")[1].split()[0] for line in read_procfile().values() if " -Q " in line)
    lines = {"worker": f"dramatiq workers.main:build_broker -p 1 -t 2 -Q {queues} --worker-shutdown-timeout 10000"}
    urls: dict[str, Any] = {"database_url": SecretStr(database_url), "redis_url": SecretStr(redis_url)}
    settings = Settings(_env_file=None, gateway="sandbox", **urls, **TIMES).with_gateway_options(**BANK_TIMES)
    shelf = Shelf(engine)
    shelf.add_variant("cup", stock=3, price_minor=450)
    cart = {
        "id": str(uuid4()),
        "currency": "EUR",
        "lines": [{"sku": "cup", "quantity": 2}],
        "shipping_address": ADDRESS,
    }
    request = StartRequest.model_validate(
        {"owner": "shop-1", "idempotency_key": str(uuid4()), "cart": cart, "payment": {"token": "tok_ok"}}
    )
    with (
        run_processes(settings, tmp_path / "log", lines) as processes,
        closing(build_components(settings, "test")) as program,
    ):
        # When the same request is sent twice
        first, second = (program.service.start(request) for _ in range(2))
        # Then it is one checkout, one charge and one order
        assert first.checkout_id == second.checkout_id
        processes.assert_all_sold(engine, 1)
    assert shelf.rows("SELECT total_minor, state FROM orders") == [(900, "placed")]
    assert shelf.stock("cup") == (1, 0)
