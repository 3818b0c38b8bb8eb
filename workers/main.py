"""The worker process: `dramatiq workers.main:build_broker -Q <queue>` builds the broker with every actor."""

import sys

import dramatiq

from pipeline.gateways import Gateway
from pipeline.settings import SettingsError, read_settings
from workers.actors import declare_actors
from workers.bootstrap import announce_gateway, build_components
from workers.broker.batch_broker import BatchBroker
from workers.garbage import tune_collector
from workers.logs import configure_logs


def build_broker(*, gateway: Gateway | None = None) -> BatchBroker:
    """Build this worker process, and set its broker as the one that dramatiq's command line serves.

    `gateway` replaces the one that the settings name. Wrong settings end the process with a sentence.
    """
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
    tune_collector()
    return components.broker
