"""The intake queue: requests of upstreams are read, started in one transaction, and rejected one by one."""

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, assert_never

import structlog
from dramatiq import Message
from pydantic import ValidationError
from redis.exceptions import RedisError

from pipeline.checkouts.batch import split_by_weight
from pipeline.database import is_transient
from pipeline.errors import Code, Refused
from pipeline.errors.objections import explain_first
from pipeline.field_types import MAX_REASON
from pipeline.intake import StartRequest
from pipeline.messaging import INTAKE
from pipeline.messaging.rejected_messages import keep_rejected_message
from pipeline.security.card_numbers import redact
from pipeline.settings import IntakePrices
from workers.bootstrap import Components

log = structlog.get_logger()

T = TypeVar("T")

#: A request that is only in Redis must not be acknowledged before it is a row: while PostgreSQL is away its worker
#: waits, and the message stays unacknowledged, so that it also survives a crash of the worker.
WAITS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


def admit(components: Components, bodies: Sequence[dict[str, Any]]) -> None:
    """Start the checkouts of a batch of messages; return once each is started, rejected with a record, or requeued.

    A transaction has a bounded number of lines, the small requests come first, and after two transactions the rest
    is sent to the end of the queue.
    """
    groups = deque(split_by_weight(bodies, count_lines, components.settings.batch_lines))
    if groups:
        _admit(components, groups.popleft())
    while groups:
        _admit(components, groups.popleft())
        if (
            groups
            and components.backlog.heads([INTAKE])
            and _requeue(components, [body for group in groups for body in group])
        ):
            return


def count_lines(body: dict[str, Any]) -> int:
    """Return how many lines a request has, before it is validated."""
    cart = body.get("cart")
    lines = cart.get("lines") if isinstance(cart, dict) else None
    return len(lines) if isinstance(lines, list) else 0


def _requeue(components: Components, bodies: Sequence[dict[str, Any]]) -> bool:
    """Send requests to the end of the queue; False when that failed. A request that is sent twice is started once."""
    name = INTAKE.removeprefix("checkout.")
    messages = [Message[None](INTAKE, name, args=(body,), kwargs={}, options={}) for body in bodies]
    try:
        components.broker.enqueue_many(messages)
    except (RedisError, OSError) as error:
        log.warning("send.failed", count=len(messages), error=repr(error))
        return False
    log.info("batch.gave_way", queue=INTAKE, checkouts=len(messages))
    return True


def _admit(components: Components, bodies: Sequence[dict[str, Any]]) -> None:
    requests: list[StartRequest] = []
    accepted: list[dict[str, Any]] = []
    for body in bodies:
        try:
            request = read_request(body)
            check_prices(request, components.settings.intake_prices)
        except Refused as refusal:
            _refuse(components, body, refusal)
        else:
            requests.append(request)
            accepted.append(body)
    if requests:
        _start(components, requests, accepted)


def read_request(body: dict[str, Any]) -> StartRequest:
    """Read a message's body; raise Refused with its first mistake. A queued request needs an idempotency key.

    A card number for a payment comes before any other mistake.
    """
    try:
        request = StartRequest.model_validate(body)
    except ValidationError as error:
        # The name of the field may be the sender's own text.
        raise Refused(Code.REQUEST_INVALID, reason=redact(explain_first(error), MAX_REASON)) from None
    if request.idempotency_key is None:
        raise Refused(Code.KEY_REQUIRED)
    return request


def check_prices(request: StartRequest, prices: IntakePrices) -> None:
    """Refuse a queued request that names amounts of its own, if the settings say so: it has no API key with a scope."""
    match prices:
        case IntakePrices.ALLOW:
            return
        case IntakePrices.REFUSE:
            if request.cart is not None and request.cart.has_external_amounts:
                raise Refused(Code.EXTERNAL_AMOUNTS_REFUSED)
        case _:
            assert_never(prices)


def _start(components: Components, requests: Sequence[StartRequest], bodies: Sequence[dict[str, Any]]) -> None:
    try:
        results = _retry(lambda: components.service.start_many(requests))
    except Exception as error:
        log.exception("intake.raised", requests=len(requests))
        if len(requests) > 1:
            for request, body in zip(requests, bodies, strict=True):
                _start(components, [request], [body])
        else:
            _refuse(components, bodies[0], Refused(Code.INTERNAL_ERROR, error=type(error).__name__))
        return
    waiting = []
    for body, result in zip(bodies, results, strict=True):
        if isinstance(result, Refused) and result.code is Code.OWNER_MOVING:
            waiting.append(body)
        elif isinstance(result, Refused):
            _refuse(components, body, result)
        else:
            log.info("checkout.admitted", checkout_id=str(result.checkout_id), created=result.changed)
    if waiting:
        _defer(components, waiting)


def _defer(components: Components, bodies: Sequence[dict[str, Any]]) -> None:
    """Send the requests of owners that move to the end of the queue: once they have moved, the refusal says where.

    The pause keeps them from being read again and again at once. What cannot be sent is not lost: it is refused.
    """
    time.sleep(WAITS[1])
    if not _requeue(components, bodies):
        for body in bodies:
            _refuse(components, body, Refused(Code.UNAVAILABLE))


def _refuse(components: Components, body: dict[str, Any], refusal: Refused) -> None:
    _retry(
        lambda: keep_rejected_message(
            components.database, queue=INTAKE, body=json.dumps(body), code=refusal.code, facts=refusal.detail
        )
    )


def _retry(work: Callable[[], T]) -> T:
    """Run `work` until the database does not fail."""
    attempts = 0
    while True:
        try:
            return work()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("intake.waiting", error=str(error))
        time.sleep(WAITS[min(attempts, len(WAITS) - 1)])
        attempts += 1
