"""Checkouts that upstreams enqueue: read, admitted in one transaction, refused one by one."""

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
from workers.bootstrap import CheckoutEngine

log = structlog.get_logger()

T = TypeVar("T")

#: A request that is only in Redis must not be acknowledged before it is a row: while PostgreSQL is away its worker
#: waits, and the message stays unacknowledged, so that it outlives the worker too.
WAITS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


def admit(engine: CheckoutEngine, bodies: Sequence[dict[str, Any]]) -> None:
    """Start the checkouts of a batch of messages. Returns once each is a checkout, a recorded rejection, or
    redelivered.

    A transaction has a bounded number of lines, the small requests come first, and after two transactions the rest
    waits behind the other messages.
    """
    groups = deque(split_by_weight(bodies, count_lines, engine.settings.batch_lines))
    if groups:
        _admit(engine, groups.popleft())
    while groups:
        _admit(engine, groups.popleft())
        if (
            groups
            and engine.backlog.heads([INTAKE])
            and _send_back(engine, [body for group in groups for body in group])
        ):
            return


def count_lines(body: dict[str, Any]) -> int:
    """Return how many lines a request brings along, before anything of it is read."""
    cart = body.get("cart")
    lines = cart.get("lines") if isinstance(cart, dict) else None
    return len(lines) if isinstance(lines, list) else 0


def _send_back(engine: CheckoutEngine, bodies: Sequence[dict[str, Any]]) -> bool:
    """Send requests to the end of the queue; False when that failed. What is then there twice is started once."""
    name = INTAKE.removeprefix("checkout.")
    messages = [Message[None](INTAKE, name, args=(body,), kwargs={}, options={}) for body in bodies]
    try:
        engine.broker.enqueue_many(messages)
    except (RedisError, OSError) as error:
        log.warning("send.failed", count=len(messages), error=repr(error))
        return False
    log.info("batch.gave_way", queue=INTAKE, checkouts=len(messages))
    return True


def _admit(engine: CheckoutEngine, bodies: Sequence[dict[str, Any]]) -> None:
    requests: list[StartRequest] = []
    kept: list[dict[str, Any]] = []
    for body in bodies:
        try:
            request = read_request(body)
            check_prices(request, engine.settings.intake_prices)
        except Refused as refusal:
            _refuse(engine, body, refusal)
        else:
            requests.append(request)
            kept.append(body)
    if requests:
        _start(engine, requests, kept)


def read_request(body: dict[str, Any]) -> StartRequest:
    """Read a message's body; Refused with the first thing that is wrong with it. A queued request needs a key.

    A card number for a payment comes before anything else that is wrong.
    """
    try:
        request = StartRequest.model_validate(body)
    except ValidationError as error:
        # Where it is may be a key of the sender's own.
        raise Refused(Code.REQUEST_INVALID, reason=redact(explain_first(error), MAX_REASON)) from None
    if request.idempotency_key is None:
        raise Refused(Code.KEY_REQUIRED)
    return request


def check_prices(request: StartRequest, prices: IntakePrices) -> None:
    """Refuse a queued request that names amounts of its own, where that is not wanted: no key vouches for it."""
    match prices:
        case IntakePrices.ALLOW:
            return
        case IntakePrices.REFUSE:
            if request.cart is not None and request.cart.has_external_amounts:
                raise Refused(Code.EXTERNAL_AMOUNTS_REFUSED)
        case _:
            assert_never(prices)


def _start(engine: CheckoutEngine, requests: Sequence[StartRequest], bodies: Sequence[dict[str, Any]]) -> None:
    try:
        answers = _patiently(lambda: engine.service.start_many(requests))
    except Exception as error:
        log.exception("intake.raised", requests=len(requests))
        if len(requests) > 1:
            for request, body in zip(requests, bodies, strict=True):
                _start(engine, [request], [body])
        else:
            _refuse(engine, bodies[0], Refused(Code.INTERNAL_ERROR, error=type(error).__name__))
        return
    for body, answer in zip(bodies, answers, strict=True):
        if isinstance(answer, Refused):
            _refuse(engine, body, answer)
        else:
            log.info("checkout.admitted", checkout_id=str(answer.checkout_id), created=answer.changed)


def _refuse(engine: CheckoutEngine, body: dict[str, Any], refusal: Refused) -> None:
    _patiently(
        lambda: keep_rejected_message(
            engine.database, queue=INTAKE, body=json.dumps(body), code=refusal.code, facts=refusal.detail
        )
    )


def _patiently(work: Callable[[], T]) -> T:
    """Run `work` until the database carries it through."""
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
