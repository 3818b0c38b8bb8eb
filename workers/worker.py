"""What a worker process is made of."""

import dramatiq

from pipeline.gateways import Gateway
from workers.actors import declare_actors
from workers.bootstrap import announce_gateway, build_components, reading_settings
from workers.broker.batch_broker import BatchBroker
from workers.garbage import scan_rarely


def build_worker(gateway: Gateway | None) -> BatchBroker:
    """Build it, with this gateway or the one that the settings name, as `workers.main.build_broker`."""
    with reading_settings() as settings:
        components = build_components(settings, "worker", gateway=gateway, by_key=True)
    if gateway is None:
        announce_gateway(settings, "worker")
    declare_actors(components)
    dramatiq.set_broker(components.broker)
    scan_rarely()
    return components.broker
