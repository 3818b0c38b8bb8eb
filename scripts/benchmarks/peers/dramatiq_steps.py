"""Stock dramatiq: an actor with its own queue for each phase, dramatiq's broker and defaults; each sends the next.

`dramatiq scripts.benchmarks.peers.dramatiq_steps:build_broker -p 2 -t 8` serves it.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from pipeline.saga import get_chain
from pipeline.settings import Settings, read_settings
from scripts.benchmarks.peers.work import HandWork

COMMANDS: Final = {"dramatiq": "dramatiq scripts.benchmarks.peers.dramatiq_steps:build_broker -p 2 -t 8"}


def build_broker() -> RedisBroker:
    """Declare the chain and set its broker as the one of dramatiq's command line."""
    settings = read_settings()
    broker = _connect(settings, HandWork(settings))
    dramatiq.set_broker(broker)
    return broker


def send(settings: Settings, ids: Sequence[UUID]) -> None:
    """Enqueue these checkouts."""
    broker = _connect(settings, HandWork(settings))
    try:
        for checkout_id in ids:
            broker.get_actor("step_1").send(str(checkout_id))
    finally:
        broker.client.close()


def _connect(settings: Settings, work: HandWork) -> RedisBroker:
    broker = RedisBroker(url=settings.redis_url.get_secret_value())
    for number in range(len(get_chain()), 0, -1):
        _declare(broker, work, number)
    return broker


def _declare(broker: RedisBroker, work: HandWork, number: int) -> None:
    def act(checkout_id: str) -> None:
        work.run(number, UUID(checkout_id))
        if number < len(get_chain()):
            broker.get_actor(f"step_{number + 1}").send(checkout_id)

    dramatiq.actor(broker=broker, actor_name=f"step_{number}", queue_name=f"peer.step_{number}")(act)
