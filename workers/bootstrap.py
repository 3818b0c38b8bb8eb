"""The composition root: builds the parts of a process, once."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from dramatiq import Broker, Middleware, Worker
from sqlalchemy import Engine

from pipeline.database import TRANSIENT_WAITS, TransactionRunner, connect_engine
from pipeline.errors import Code
from pipeline.gateways import Gateway, MoneyKind, build_gateway, fit_lease, read_choice
from pipeline.intake import CheckoutService
from pipeline.messaging.rejected_messages import keep_rejected_message
from pipeline.orders import ChangeRunner, OrderService
from pipeline.orders.charges import ChargeReader
from pipeline.saga import Executor, PaymentPoller, Runner, Unwinder
from pipeline.saga.executor import LINGER_SECONDS
from pipeline.settings import Settings, SettingsError, read_settings
from pipeline.webhooks.inbound import Inbox
from pipeline.webhooks.outbound import Dispatcher
from workers.broker.batch_broker import BatchBroker
from workers.broker.message_validation import UnfitMessage
from workers.broker.publisher import RedisSender
from workers.broker.queue_stats import RedisBacklog
from workers.logs import configure_logs

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of one process. Nothing connects before its first use."""

    settings: Settings
    database: Engine
    transactions: TransactionRunner
    gateway: Gateway
    broker: BatchBroker
    publisher: RedisSender
    backlog: RedisBacklog
    executor: Executor
    runner: Runner
    unwinder: Unwinder
    poller: PaymentPoller
    charges: ChargeReader
    changes: ChangeRunner
    inbox: Inbox
    dispatcher: Dispatcher
    service: CheckoutService
    orders: OrderService

    def close(self) -> None:
        """Close threads and connections."""
        self.dispatcher.close()
        self.charges.close()
        self.executor.close()
        self.gateway.close()
        self.broker.close()
        self.database.dispose()


class FinishCalls(Middleware):
    """Waits, at the end of a worker, for gateway calls that its batches did not wait for."""

    def __init__(self, executor: Executor) -> None:
        """Wait for the calls of this executor."""
        self._executor = executor

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Return once all answers are stored, before the connections are closed."""
        del broker, worker
        self._executor.finish()


@contextmanager
def reading_settings() -> Iterator[Settings]:
    """Yield the settings of this process, which logs as they say. Wrong ones, found in here too, end it: a sentence."""
    try:
        settings = read_settings()
        configure_logs(settings)
        yield settings
    except SettingsError as error:
        sys.exit(str(error))


def build_components(
    settings: Settings,
    name: str,
    *,
    waits: Sequence[float] = TRANSIENT_WAITS,
    gateway: Gateway | None = None,
    by_key: bool = False,
) -> Components:
    """Build the parts of a process; `name` is the name of its connections in PostgreSQL.

    `waits` are the pauses before a failed transaction is repeated. `gateway` replaces the one that the settings name.
    `by_key` as for `connect_engine`.
    """
    database = connect_engine(settings, application_name=name, by_key=by_key)

    def store_refusal(refusal: UnfitMessage) -> None:
        facts = {"reason": refusal.reason}
        keep_rejected_message(database, queue=refusal.queue, body=refusal.body, code=Code.MESSAGE_INVALID, facts=facts)

    broker = BatchBroker(
        url=settings.redis_url.get_secret_value(),
        on_refused=store_refusal,
        batch_size=settings.batch_size,
        batch_wait_share=settings.batch_wait_share,
        poll_interval_seconds=settings.poll_interval_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    gateway = gateway or build_gateway(settings)
    settings = fit_lease(settings, gateway)
    backlog = RedisBacklog(broker.client, namespace=broker.namespace)
    publisher = RedisSender(broker)
    transactions = TransactionRunner(database, waits=waits, wake=publisher.wake)
    executor = Executor(transactions, publisher, gateway, settings, linger_seconds=LINGER_SECONDS, backlog=backlog)
    broker.add_middleware(FinishCalls(executor))
    poller = PaymentPoller(executor, settings)
    charges = ChargeReader(transactions, publisher, gateway, settings)
    return Components(
        settings=settings,
        database=database,
        transactions=transactions,
        gateway=gateway,
        broker=broker,
        publisher=publisher,
        backlog=backlog,
        executor=executor,
        runner=Runner(executor, gateway, settings),
        unwinder=Unwinder(executor, settings),
        poller=poller,
        charges=charges,
        inbox=Inbox(executor, poller, charges, settings),
        changes=ChangeRunner(executor, settings),
        dispatcher=Dispatcher(transactions, settings),
        service=CheckoutService(database, transactions, publisher, gateway, settings),
        orders=OrderService(transactions, publisher, settings),
    )


def announce_gateway(settings: Settings, process: str) -> None:
    """Log the gateway of this process: as a warning with test money, since its orders look like all others."""
    choice = read_choice(settings)
    if choice is not None:
        say = log.info if choice.money is MoneyKind.REAL else log.warning
        say("gateway.chosen", process=process, gateway=choice.name, money=choice.money.value, meaning=choice.sentence)
