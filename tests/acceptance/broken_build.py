"""A build that is broken on purpose: it undoes everything but the reservation."""

import dramatiq

from tests.integration.crashes.breaks import skip_release
from workers.broker import BatchBroker
from workers.main import build_broker as build_sound_broker


def build_broker() -> BatchBroker:
    """Build a worker that never gives stock back."""
    skip_release()
    broker = build_sound_broker()
    dramatiq.set_broker(broker)
    return broker
