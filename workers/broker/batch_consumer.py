"""The consumer of a queue: an actor gets all waiting messages at once, up to a limit, without a wait for more."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, assert_never
from uuid import UUID

import structlog
from dramatiq import Message, MessageProxy
from dramatiq.broker import Consumer
from redis.exceptions import RedisError

from pipeline.database.ids import read_age_seconds
from workers.broker.in_flight import InFlight
from workers.broker.message_validation import QueuedMessage, ReadMember, UnfitMessage
from workers.broker.pace import Pace
from workers.broker.queue_client import QueueLink

log = structlog.get_logger(__name__)

#: First and longest wait between attempts while Redis is away.
FIRST_PAUSE_SECONDS: Final = 0.05
LAST_PAUSE_SECONDS: Final = 1.0
#: A worker thread stops trying to ack after this long: the message is requeued, and the row says that it is done.
SETTLE_SECONDS: Final = 2.0
#: A rejected message that could not be recorded is tried again after this long.
POSTPONE_SECONDS: Final = 1.0
#: Messages that were fetched and did not arrive here (a lost reply) are requeued this often, and after each outage.
REQUEUE_SECONDS: Final = 5.0


class BatchConsumer(Consumer):
    """One queue's consumer. One thread iterates over it; any thread may call `ack` and `nack`.

    Each item is one message with the arguments of all the members of its batch; the members' ids in Redis are its
    option `batch`. There are no more batches in flight than worker threads, so that under load messages wait in Redis,
    where they make the next batch larger and no crash delays them. When Redis cannot be reached, the consumer waits for
    it and continues.
    """

    def __init__(
        self,
        link: QueueLink,
        in_flight: InFlight,
        *,
        limit: int,
        batch_size: int,
        poll_interval_seconds: float,
        beat_seconds: float,
        pace: Pace,
        read_member: ReadMember,
        on_refused: Callable[[UnfitMessage], None],
    ) -> None:
        """Keep at most `limit` batches of up to `batch_size` in flight, and send a heartbeat every `beat_seconds`.

        Between two batches that are not full it waits as `pace` says.
        """
        self._link = link
        self._in_flight = in_flight
        self._limit = limit
        self._batch_size = batch_size
        self._poll_interval_seconds = poll_interval_seconds
        self._beat_seconds = beat_seconds
        self._pace = pace
        self._read_member = read_member
        self._on_refused = on_refused

        self._ready: deque[MessageProxy] = deque()
        self._refused: deque[tuple[bytes, UnfitMessage]] = deque()
        self._postponed: list[bytes] = []
        self._postponed_until = 0.0
        self._beat_at = 0.0
        self._requeue_at = 0.0
        self._is_drained = False
        self._away_since: float | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._closing = threading.Event()

    def __next__(self) -> MessageProxy | None:
        """Return the next batch, or None after at most a second without one. It does not raise if Redis is away."""
        if self._closing.is_set():
            return None
        if self._ready:
            return self._ready.popleft()
        try:
            return self._advance()
        except (RedisError, OSError) as error:
            self._endure(error)
            return None

    def _advance(self) -> MessageProxy | None:
        self._beat()
        self._settle_refused()
        self._requeue_stranded()
        if not self._in_flight.wait_for_room(self._limit, self._seconds_to_beat()) or self._closing.is_set():
            return None
        if self._is_drained:
            self._is_drained = False
            self._link.wait_for_wake(min(self._poll_interval_seconds, self._seconds_to_beat()))
            return None
        if (pause_seconds := self._pace.left_seconds()) > 0:
            self._closing.wait(min(pause_seconds, self._seconds_to_beat()))
            return None
        fetched = self._link.fetch(self._batch_size)
        self._log_recovery()
        # Messages sent after this fetch leave a wake-up: a second fetch would find nothing, and delay the batch that is
        # about to be returned.
        self._is_drained = len(fetched) < self._batch_size
        self._sort(fetched)
        if self._closing.is_set():
            self.close()
        return self._ready.popleft() if self._ready else None

    def _beat(self) -> None:
        # Never by chance, and with no other command: once a second is often enough, and cheap.
        if time.monotonic() >= self._beat_at:
            self._link.beat()
            self._beat_at = time.monotonic() + self._beat_seconds

    def _seconds_to_beat(self) -> float:
        return max(0.01, self._beat_at - time.monotonic())

    def _sort(self, fetched: dict[bytes, bytes | None]) -> None:
        batches: dict[str, dict[bytes, Any]] = {}
        gone = []
        for redis_id, data in fetched.items():
            if data is None:
                gone.append(redis_id)
                continue
            match self._read_member(data, self._link.queue):
                case QueuedMessage(actor, argument):
                    batches.setdefault(actor, {})[redis_id] = argument
                case UnfitMessage() as refusal:
                    self._refused.append((redis_id, refusal))
                case never:
                    assert_never(never)
        # A batch that is full need not wait for others, and one of requests has no ages.
        ids = [UUID(each) for members in batches.values() for each in members.values() if isinstance(each, str)]
        self._pace.begin(read_age_seconds(each) for each in ids if len(fetched) < self._batch_size)
        for actor, members in batches.items():
            message: Message[Any] = Message(
                queue_name=self._link.queue,
                actor_name=actor,
                args=tuple(members.values()),
                kwargs={},
                options={"batch": list(members)},
            )
            self._in_flight.add(message.message_id, members)
            self._ready.append(MessageProxy(message))
        if gone:
            log.debug("message.gone", queue=self._link.queue, count=len(gone))
            self._link.ack(gone)

    def _settle_refused(self) -> None:
        """Record rejected messages and dead-letter them; one that could not be recorded waits a while.

        A message with a card number in it is recorded without it, and deleted.
        """
        now = time.monotonic()
        if self._postponed and now >= self._postponed_until:
            self._link.requeue(self._postponed)
            self._postponed.clear()
        if self._postponed:
            self._postpone_refused()
        while self._refused:
            self._beat()
            redis_id, refusal = self._refused[0]
            try:
                self._on_refused(refusal)
            except Exception:
                # Whatever the error, the message must stay until it is recorded, and the others must be processed.
                log.exception("message.rejection_not_recorded", queue=refusal.queue, reason=refusal.reason)
                self._postponed_until = time.monotonic() + POSTPONE_SECONDS
                self._postpone_refused()
                break
            self._refused.popleft()
            # A dead-lettered message is kept as it came, for a week: one with a secret is deleted instead.
            (self._link.ack if refusal.has_secret else self._link.nack)([redis_id])

    def _postpone_refused(self) -> None:
        self._postponed.extend(redis_id for redis_id, _ in self._refused)
        self._refused.clear()

    def _requeue_stranded(self) -> None:
        """Requeue messages that Redis lists for this worker and that are not here: the reply to a command was lost."""
        if time.monotonic() < self._requeue_at:
            return
        fetched = self._link.read_fetched()
        here = self._in_flight.ids() | {redis_id for redis_id, _ in self._refused} | set(self._postponed)
        if stranded := fetched - here:
            count = self._link.requeue(list(stranded))
            log.warning("queue.requeued", queue=self._link.queue, count=count)
        self._requeue_at = time.monotonic() + REQUEUE_SECONDS

    def _endure(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            self._pause_seconds = FIRST_PAUSE_SECONDS
            log.warning("broker.unreachable", queue=self._link.queue, error=repr(error))
        self._requeue_at = 0.0
        time.sleep(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2, LAST_PAUSE_SECONDS)

    def _log_recovery(self) -> None:
        if self._away_since is not None:
            seconds = round(time.monotonic() - self._away_since, 3)
            log.info("broker.recovered", queue=self._link.queue, seconds=seconds)
            self._away_since = None

    def ack(self, message: MessageProxy) -> None:
        """Remove a finished batch, in bounded time. It does not raise if Redis is away: dramatiq would block."""
        self._settle(message, self._link.ack)

    def nack(self, message: MessageProxy) -> None:
        """Dead-letter a failed batch; otherwise like `ack`."""
        self._settle(message, self._link.nack)

    def _settle(self, message: MessageProxy, settle: Callable[[Sequence[bytes]], None]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                try:
                    settle(message.options["batch"])
                except (RedisError, OSError) as error:
                    if time.monotonic() + pause >= deadline:
                        count = len(message.options["batch"])
                        log.warning("batch.unsettled", queue=self._link.queue, count=count, error=repr(error))
                        self._requeue_at = 0.0
                        return
                    time.sleep(pause)
                    pause *= 2
                else:
                    return
        finally:
            self._in_flight.remove(message.message_id)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Requeue batches that have not been processed, and fetch no more.

        dramatiq calls this when it shuts down, and while this consumer is still running if an actor runs for longer
        than the shutdown's time-out. If Redis is away, the batches are requeued when this worker counts as crashed.
        """
        self._closing.set()
        batches = list(messages)
        ids = [redis_id for message in batches for redis_id in message.options["batch"]]
        self._return(ids)
        for message in batches:
            self._in_flight.remove(message.message_id)

    def close(self) -> None:
        """Requeue the batches that no worker thread has yet."""
        self.requeue(self._ready)
        self._ready.clear()
        self._postpone_refused()
        self._return(self._postponed)
        self._postponed.clear()

    def _return(self, ids: list[bytes]) -> None:
        if not ids:
            return
        try:
            self._link.requeue(ids)
        except (RedisError, OSError) as error:
            log.warning("requeue.failed", queue=self._link.queue, count=len(ids), error=repr(error))
