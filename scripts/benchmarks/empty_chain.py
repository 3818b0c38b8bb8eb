"""The baseline: stock dramatiq, its own Redis broker and defaults, empty actors through seven queues.

`dramatiq scripts.benchmarks.empty_chain:build_broker` serves it. The first and the last actor record the time, the
others do nothing.
"""

import time
from typing import Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from pipeline.settings import Settings, read_settings

LENGTH: Final = 7
STARTED: Final = "empty:started_at"
ENDED: Final = "empty:ended_at"
DONE: Final = "empty:done"


class EmptyChain:
    """Sends the chains and reads their times."""

    def __init__(self, settings: Settings) -> None:
        """Connect at first use."""
        self._broker = connect_broker(settings)
        self._client = self._broker.client

    def send(self, count: int) -> None:
        """Enqueue `count` chains."""
        for number in range(count):
            self._broker.get_actor("step_1").send(str(number))

    def read_end(self, count: int) -> float | None:
        """Return when the last of `count` chains ended, None while they have not."""
        if int(self._client.get(DONE) or 0) < count:
            return None
        return float(self._client.get(ENDED) or 0)

    def read_makespan(self, count: int) -> float | None:
        """Return the seconds from the first actor's run to the last one's."""
        ended_at = self.read_end(count)
        return None if ended_at is None else ended_at - float(self._client.get(STARTED) or 0)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def build_broker() -> RedisBroker:
    """Declare the chain on a stock broker and set it as the broker of dramatiq's command line."""
    broker = connect_broker(read_settings())
    dramatiq.set_broker(broker)
    return broker


def connect_broker(settings: Settings) -> RedisBroker:
    """Return a stock broker with the seven actors."""
    broker = RedisBroker(url=settings.redis_url.get_secret_value())
    for number in range(LENGTH, 0, -1):
        _declare(broker, number)
    return broker


def _declare(broker: RedisBroker, number: int) -> None:
    seen = False

    def act(chain_id: str) -> None:
        nonlocal seen
        if number == 1 and not seen:
            seen = True
            broker.client.set(STARTED, time.time(), nx=True)
        if number < LENGTH:
            broker.get_actor(f"step_{number + 1}").send(chain_id)
        else:
            broker.client.set(ENDED, time.time())
            broker.client.incr(DONE)

    dramatiq.actor(broker=broker, actor_name=f"step_{number}", queue_name=f"empty.step_{number}")(act)
