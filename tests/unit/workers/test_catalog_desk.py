"""The HTTP process writes one batch of the catalog at a time, in the order of their requests, with pauses between."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from pipeline.catalog.batches import PAUSE_SHARE, WrittenBatch
from pipeline.catalog.batches.forms import VariantBatch
from pipeline.settings import Settings, read_settings
from workers.web.context import CatalogDesk

BATCH = VariantBatch.model_validate({"rows": [{"sku": "cup", "title": "A cup"}]})


class Recorder:
    """A service that notes when it begins and ends, and fails on one key."""

    def __init__(self) -> None:
        """Note nothing yet."""
        self.seen: list[str] = []

    def write(self, _batch: Any, *, idempotency_key: str, **_others: Any) -> WrittenBatch:
        """Note it."""
        self.seen += [f"{idempotency_key} begins", f"{idempotency_key} ends"]
        if idempotency_key == "b":
            raise RuntimeError("it fails")
        return WrittenBatch(uuid4(), (), created=True)


@pytest.fixture
def closed() -> Settings:
    """Settings of servers that nobody needs."""
    url = "postgresql://nobody@127.0.0.1:1/none"
    return read_settings(database_url=url, redis_url="redis://127.0.0.1:1/0", gateway="sandbox")


def test_batches_take_turns_and_one_that_fails_holds_nobody_up(
    closed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    pauses: list[float] = []

    async def write_all() -> list[Any]:
        desk = CatalogDesk(closed, waits=(0.01,))
        monkeypatch.setattr(desk, "_service", recorder)
        loop = asyncio.get_running_loop()
        later = loop.call_later

        def note(seconds: float, *given: Any) -> asyncio.TimerHandle:
            pauses.append(seconds)
            return later(0, *given)

        monkeypatch.setattr(loop, "call_later", note)
        try:
            return await asyncio.gather(
                *(desk.write(BATCH, owner="erp", actor="key:k", idempotency_key=key) for key in "abc"),
                return_exceptions=True,
            )
        finally:
            desk.close()

    answers = asyncio.run(write_all())
    assert [type(each) for each in answers] == [WrittenBatch, RuntimeError, WrittenBatch]
    assert recorder.seen == [f"{key} {what}" for key in "abc" for what in ("begins", "ends")]
    assert (len(pauses), min(pauses) > 0, PAUSE_SHARE) == (3, True, 3.0)
