"""The actors: one for each phase, and one each for intake, unwind, unknown outcomes, order changes, webhooks both ways
and sweep.

They only call the pipeline, and none raises.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final
from uuid import UUID

import dramatiq
import structlog

from pipeline.messaging import DELIVERIES, INTAKE, RESOLVE, SWEEP, UNWIND, WEBHOOKS
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.saga import Phase, get_chain
from pipeline.saga.resolve import resolve
from pipeline.saga.sweep import sweep
from workers.bootstrap import Components
from workers.broker.batch_broker import BatchBroker
from workers.intake import admit

log = structlog.get_logger()

#: dramatiq serves lower numbers first. Started checkouts are finished before new ones begin; an unwind comes before the
#: first phases, because it frees stock that others wait for.
INTAKE_PRIORITY: Final = 100


def declare_actors(components: Components) -> None:
    """Declare every actor on the engine's broker."""
    for phase in get_chain():
        _declare(
            components.broker, phase.queue, _run_phase(components, phase), priority=INTAKE_PRIORITY - 10 * phase.number
        )
    _declare(components.broker, UNWIND, lambda *ids: components.unwinder.run(_ids(ids)), priority=50)
    _declare(components.broker, RESOLVE, _resolve(components), priority=50)
    _declare(components.broker, WEBHOOKS, lambda *ids: components.inbox.run(_ids(ids)), priority=50)
    _declare(components.broker, ORDER_CHANGES, lambda *ids: components.changes.run(_ids(ids)), priority=50)
    # Outbound webhooks come after everything that they report.
    _declare(
        components.broker, DELIVERIES, lambda *ids: components.dispatcher.run(_ids(ids)), priority=INTAKE_PRIORITY + 10
    )
    _declare(
        components.broker, INTAKE, lambda *bodies: admit(components, bodies), priority=INTAKE_PRIORITY, member="request"
    )
    _declare(components.broker, SWEEP, _sweep(components), priority=0, member="request")


def _declare(
    broker: BatchBroker, queue: str, work: Callable[..., object], *, priority: int, member: str = "checkout_id"
) -> None:
    name = queue.removeprefix("checkout.")

    @wraps(work)
    def act(*members: Any) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(queue=queue)
        try:
            work(*members)
        except Exception:
            # The sweep redelivers it at the row's due_at; dramatiq would only log the exception, in many more lines.
            log.exception("actor.raised", members=len(members))

    declare = dramatiq.actor(broker=broker, actor_name=name, queue_name=queue, priority=priority, member=member)
    declare(act)


def _run_phase(components: Components, phase: Phase) -> Callable[..., None]:
    def run(*ids: str) -> None:
        components.runner.run(phase, _ids(ids))

    return run


def _resolve(components: Components) -> Callable[..., None]:
    def run(*ids: str) -> None:
        resolve(
            components.transactions,
            components.runner,
            components.unwinder,
            components.poller,
            _ids(ids),
            read_charges=components.charges.run,
        )

    return run


def _sweep(components: Components) -> Callable[..., None]:
    def run(*_requests: dict[str, Any]) -> None:
        sweep(components.transactions, components.publisher, components.backlog, components.settings)

    return run


def _ids(ids: Sequence[str]) -> list[UUID]:
    return [UUID(each) for each in ids]
