"""A Stripe adapter on a front on localstripe: how tests build one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pydantic import SecretStr

from pipeline.gateways.stripe.gateway import StripeGateway
from pipeline.settings import Settings
from tests.integration.gateways.stripe.local import KEY

WEBHOOK_SECRET: Final = "whsec_" + "front" * 4

#: Long enough for a busy machine to answer in, short enough to be waited for.
TIMEOUT_SECONDS: Final = 1.0


def make_settings(url: str, **others: Any) -> Settings:
    """Return settings for a gateway alone: there is no database behind them."""
    urls: dict[str, Any] = {
        "database_url": SecretStr("postgresql://nowhere/none"),
        "redis_url": SecretStr("redis://nowhere"),
    }
    return choose_stripe(Settings(_env_file=None, **urls), url, **others)


def choose_stripe(settings: Settings, url: str, **others: Any) -> Settings:
    """Return the settings with Stripe at this address; `others` are the engine's own."""
    times = {"gateway_timeout_seconds": TIMEOUT_SECONDS, "gateway_lease_seconds": 6}
    return settings.model_copy(update=times | others).with_gateway(
        "stripe", api_key=SecretStr(KEY), webhook_secret=SecretStr(WEBHOOK_SECRET), api_base=url
    )


@contextmanager
def run_gateway(url: str, *, own: Mapping[str, Any] | None = None, **others: Any) -> Iterator[StripeGateway]:
    """Give an adapter that is closed at the end; `own` are settings of Stripe's."""
    gateway = StripeGateway(make_settings(url, **others).with_gateway_options(**(own or {})))
    try:
        yield gateway
    finally:
        gateway.close()
