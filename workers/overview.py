"""One reading of all figures, from PostgreSQL and from the queues, for the monitor, the metrics and the admin pages."""

from dataclasses import asdict, dataclass
from typing import Any

import redis
from redis.exceptions import RedisError

from pipeline.database.readers import Standby
from pipeline.operations import Stats
from pipeline.operations.replication import Replication
from pipeline.operations.statistics import list_queues
from workers.broker.queue_stats import NAMESPACE, QueueFigures, queue_figures


@dataclass(frozen=True, slots=True)
class Readout:
    """One reading. `queues` is None when Redis did not answer; `gateway` describes the gateway in words.

    `standby` is the one that `stats` were read from, None for a primary. `replication` is what the primary says, None
    where it was not read, or did not answer. `redis_master` is the one that Sentinels name.
    """

    stats: Stats
    queues: tuple[QueueFigures, ...] | None
    gateway: str
    standby: Standby | None = None
    replication: Replication | None = None
    redis_master: str | None = None

    def age_seconds(self, figures: QueueFigures) -> float | None:
        """Return how long the queue's oldest message has been waiting, by the database's clock."""
        if figures.oldest_sent_at is None:
            return None
        return max(0.0, (self.stats.at - figures.oldest_sent_at).total_seconds())

    def describe(self) -> dict[str, Any]:
        """Return everything as one object for JSON."""
        queues = self.queues and [
            {
                "queue": figures.queue,
                "waiting": figures.waiting,
                "in_flight": figures.in_flight,
                "dead_lettered": figures.dead_lettered,
                "oldest_seconds": self.age_seconds(figures),
            }
            for figures in self.queues
        ]
        replication = self.replication and {**asdict(self.replication), "missing": self.replication.missing}
        return asdict(self.stats) | {
            "at": self.stats.at.isoformat(timespec="seconds"),
            "queues": queues,
            "gateway": self.gateway,
            "standby": self.standby and asdict(self.standby),
            "replication": replication,
            "redis_master": self.redis_master,
        }


def read_queues(client: redis.Redis) -> tuple[QueueFigures, ...] | None:
    """Return the figures of every queue, or None when Redis does not answer."""
    try:
        return tuple(queue_figures(client, NAMESPACE, list_queues()))
    except (RedisError, OSError):
        return None


def is_idle(client: redis.Redis) -> bool:
    """Return whether no message waits or is in flight; False when Redis does not answer."""
    queues = read_queues(client)
    return queues is not None and not any(each.waiting or each.in_flight for each in queues)


def format_seconds(seconds: float | None) -> str:
    """Return a time as one word: `0.41s`, `12s`, `3m20s`, `2h05m`; `-` when there is none."""
    if seconds is None:
        return "-"
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest}s"
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"
