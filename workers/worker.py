"""What a worker process is made of."""

import sys

import dramatiq

from pipeline.gateways import Gateway
from pipeline.settings import SettingsError, read_settings
from workers.actors import declare_actors
from workers.bootstrap import announce_gateway, build_components
from workers.broker.batch_broker import BatchBroker
from workers.garbage import scan_rarely
from workers.logs import configure_logs


def build_worker(gateway: Gateway | None) -> BatchBroker:
    """Build it, with this gateway or the one that the settings name, as `workers.main.build_broker`."""
    try:
        settings = read_settings()
        configure_logs(settings)
        components = build_components(settings, "worker", gateway=gateway, by_key=True)
    except SettingsError as error:
        sys.exit(str(error))
    if gateway is None:
        announce_gateway(settings, "worker")
    declare_actors(components)
    dramatiq.set_broker(components.broker)
    scan_rarely()
    return components.broker
