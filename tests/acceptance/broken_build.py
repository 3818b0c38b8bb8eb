"""Workers that are broken on purpose."""

from collections.abc import Callable

from tests.integration.crashes.breaks import forget_the_guard, refund_twice, send_before_commit, skip_release
from workers.broker.batch_broker import BatchBroker
from workers.main import build_broker


def build_without_release() -> BatchBroker:
    """Build a worker that never releases stock."""
    return _build(skip_release)


def build_without_guard() -> BatchBroker:
    """Build a worker that does not compare a message with its row."""
    return _build(forget_the_guard)


def build_too_eager() -> BatchBroker:
    """Build a worker that sends before its transaction commits."""
    return _build(send_before_commit)


def build_that_refunds_twice() -> BatchBroker:
    """Build a worker that makes each refund of an order twice."""
    return _build(refund_twice)


def _build(damage: Callable[[], None]) -> BatchBroker:
    damage()
    return build_broker()
