"""A Stripe adapter on a front on localstripe: how tests build one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pydantic import SecretStr

from pipeline.gateways.stripe.gateway import StripeGateway
from pipeline.settings import Settings
from tests.integration.stripe.local import KEY

WEBHOOK_SECRET: Final = "whsec_" + "front" * 4

#: Long enough for a busy machine to answer in, short enough to be waited for.
TIMEOUT_SECONDS: Final = 1.0


def make_settings(url: str, **others: Any) -> Settings:
    """Return settings for a gateway alone: there is no database behind them."""
    values: dict[str, Any] = {
        "database_url": SecretStr("postgresql://nowhere/none"),
        "redis_url": SecretStr("redis://nowhere"),
        **stripe_settings(url),
        **others,
    }
    return Settings(_env_file=None, **values)


def stripe_settings(url: str) -> dict[str, Any]:
    """Return the settings that choose Stripe, at this address."""
    return {
        "gateway": "stripe",
        "stripe_api_key": SecretStr(KEY),
        "stripe_webhook_secret": SecretStr(WEBHOOK_SECRET),
        "stripe_api_base": url,
        "gateway_timeout_seconds": TIMEOUT_SECONDS,
        "gateway_lease_seconds": 6,
    }


@contextmanager
def run_gateway(url: str, **others: Any) -> Iterator[StripeGateway]:
    """Give an adapter that is closed at the end."""
    gateway = StripeGateway(make_settings(url, **others))
    try:
        yield gateway
    finally:
        gateway.close()
