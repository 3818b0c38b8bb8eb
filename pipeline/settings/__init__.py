"""The environment, read in one place.

Public modules: none.
"""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from models.cells import check_cell_name
from models.identifiers import normalize_country
from models.limits import MAX_LINES
from models.money import parse_amounts
from pipeline.errors.objections import explain_objection
from pipeline.settings.choices import IntakePrices, TaxRatesEnded, TaxRounding
from pipeline.settings.former_names import FormerNamesSource, rename_value

__all__ = [
    "IntakePrices",
    "Settings",
    "SettingsError",
    "TaxRatesEnded",
    "TaxRounding",
    "explain_invalid",
    "name_variable",
    "read_settings",
]

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
#: Larger ones limit nothing: it would take two hundred cores of web processes to serve ten million requests a minute.
PerMinute = Annotated[int, Field(gt=0, le=10_000_000)]


class Settings(BaseSettings):
    """Settings of every process. Each has its environment variable; a `.env` file is read too."""

    model_config = SettingsConfigDict(
        env_prefix="CHECKOUT_", env_file=".env", extra="ignore", populate_by_name=True, frozen=True
    )

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    #: Give the broker a Redis database of its own: maintenance runs KEYS.
    redis_url: SecretStr = Field(validation_alias="REDIS_URL")
    #: Where people read: monitor, statistics, the admin's list, the audit. A standby, so that they cost the primary
    #: nothing. Without it they read DATABASE_URL.
    read_url: SecretStr | None = None
    #: Where the HTTP edge writes the catalog: as a user with the role checkout_clerk, since that of DATABASE_URL, with
    #: roles, may not. Without it the edge writes to DATABASE_URL.
    catalog_url: SecretStr | None = None
    #: The name of this engine among several with servers of their own (docs/cells.md). Empty: it is the only one.
    cell: str = ""

    #: How long an unpaid checkout keeps its stock and prices, and the longest time that a start may request.
    ttl_minutes: Count = 15
    ttl_cap_minutes: Count = 60
    #: Entering payment extends the reservation to at least this, so that it never expires during a payment.
    payment_window_seconds: Seconds = 600
    #: Payment attempts (cards) of a started checkout, before the checkout ends.
    payment_attempts: Count = 3

    #: Most lines of a cart, and most units of a line. The largest real baskets of the test data have 591 lines and
    #: 2,880 units.
    max_lines: Annotated[int, Field(gt=0, le=MAX_LINES)] = 1000
    max_quantity: Count = 100_000

    #: The shop's own currency, and how old an exchange rate may be. The ECB publishes around 16:00 CET on its working
    #: days and is closed for at most four in a row (Easter; Christmas beside a weekend): 120 h from one publication to
    #: the next, and a day more for a daily import.
    base_currency: str = "EUR"
    rate_max_age_hours: Count = 144
    #: Whether external prices, and shipping, include tax unless they say otherwise.
    prices_include_tax: bool = True
    tax_rounding: TaxRounding = TaxRounding.LINE
    #: Whether requests on `checkout.intake` may name amounts of their own: a message has no API key with a scope.
    intake_prices: IntakePrices = IntakePrices.ALLOW
    #: Where the seller pays its taxes, by ISO 3166: reverse charge never applies there. Without it, it applies nowhere.
    seller_country: str | None = None
    #: The entry point of the validator of tax ids; empty: none.
    tax_id_validator: str = ""
    tax_rates_ended: TaxRatesEnded = TaxRatesEnded.REPORT
    #: How far the total may be from the expected one, by currency, in minor units (`EUR:5,JPY:10`). The frozen total is
    #: charged. A currency not named has the first amount that the quote's own rate converts to it, else 0.
    price_drift_tolerances: str = ""
    #: Largest totals, in the same way; converted by the newest rates. Without a rate only the gateway's limit holds.
    max_totals: str = "EUR:99999999"
    #: Whether the cancel of a placed order returns the uses of its coupons.
    cancel_returns_coupons: bool = True

    #: Most messages of one batch: a quarter more checkouts a second than with 64.
    batch_size: Count = 256
    #: The pause between two batches of a queue, or two groups of HTTP requests, as a share of the time that their
    #: checkouts have taken so far. A checkout alone waits for nothing; 0 turns it off.
    batch_wait_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    #: Most lines of one transaction, except for a single cart that has more: small carts come first, and other messages
    #: are processed between two such loads of large ones.
    batch_lines: Count = 1000
    #: A message that is not processed for this long is redelivered, unless it still waits in its queue.
    redeliver_after_seconds: Seconds = 5
    #: ... and after this long it is redelivered in any case.
    redeliver_always_after_seconds: Seconds = 60
    sweep_interval_seconds: Seconds = 1
    #: Rows of each kind that one run of the sweep processes.
    sweep_limit: Count = 500
    #: Deliveries that may crash without committing before the checkout unwinds, and undos that may fail before it
    #: moves to review.
    max_attempts: Count = 5
    max_undo_attempts: Count = 10
    #: First wait after a failure; doubles up to the cap.
    retry_seconds: Seconds = 1
    retry_cap_seconds: Seconds = 60

    #: A worker without a heartbeat for this long counts as crashed, and its messages are requeued. Longer than any
    #: pause of a running worker.
    heartbeat_seconds: Seconds = 15
    #: Longest wait of a consumer at an empty queue, and so for a message that was sent without a wake-up.
    poll_interval_seconds: Annotated[float, Field(gt=0, lt=1)] = 0.5

    #: The name of an installed gateway, which has settings of its own (pipeline/gateways/settings.py). No default: the
    #: orders of test money look like all others. The embedded servers choose it for themselves
    #: (scripts/local_servers/embedded.py).
    gateway: str = ""
    #: A gateway call times out, its outcome unknown, after this long ...
    gateway_timeout_seconds: Seconds = 4
    #: ... and no other worker makes the same call for this long; 0 means the longest call of this gateway and 2.5 s in
    #: the queue of its process. A worker that crashes during a call costs that and a sweep: 7.5 s where a call is not
    #: repeated, and 14 s where an SDK repeats it once, 10.5 s in all.
    gateway_lease_seconds: Annotated[float, Field(ge=0)] = 0
    #: Concurrent gateway calls of one process: one for each of a batch, so that their answers are stored together.
    gateway_concurrency: Count = 64
    #: Providers delete idempotency keys after 24 h: a call with an older key is never repeated.
    idempotency_key_max_age_seconds: Seconds = 23 * 3600
    #: How long a buyer has for 3-D Secure, where the provider names no time. Challenges end after 5 to 99 min.
    buyer_action_timeout_seconds: Seconds = 900
    #: An authorisation with less time than this left is not captured any more. Providers keep them for 5 to 30 days.
    authorization_margin_seconds: Seconds = 60
    #: The payment of an ended checkout is polled: first after this, then at growing intervals, for a day.
    post_end_poll_seconds: Seconds = 60
    post_end_poll_hours: Count = 24
    #: An inbound webhook that matches no payment is retried for as long as providers redeliver one.
    inbound_webhook_retry_hours: Count = 72

    #: HTTP: the address, connections to the database (and threads, one each), and the longest `Prefer: wait`. Proxies
    #: commonly time out after 60 s.
    web_host: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    web_connections: Count = 8
    web_max_wait_seconds: Count = 30
    #: Largest body: a thousand lines with external prices and taxes have about 300 kB.
    web_max_body_bytes: Count = 1024 * 1024
    #: How long a request's head and its body may take to arrive, and connections to one process: each is an open file,
    #: and a long poll (`Prefer: wait`) keeps one open. Systems allow a process 1,024 files by default.
    web_head_seconds: Seconds = 10
    web_body_seconds: Seconds = 30
    web_max_connections: Count = 900
    #: Proxies whose `X-Forwarded-Proto` and `X-Forwarded-For` are used: addresses and networks (CIDR, with commas).
    web_trusted_proxies: str = "127.0.0.1,::1"
    #: Requests in a minute, to all processes together. Writes of one API key: a shop with one key sells a hundred
    #: purchases a second. Its reads: five for each purchase, since a shop without `Prefer: wait` polls.
    web_writes_per_minute: PerMinute = 6_000
    web_reads_per_minute: PerMinute = 30_000
    #: Those of one address (of IPv6 a /64) without a valid API key: ten a second, for a shop whose key has ended.
    web_anonymous_per_minute: PerMinute = 600
    #: Sign-in attempts on the admin pages from one address; from all addresses, thirty times as many.
    web_sign_ins_per_minute: PerMinute = 10
    #: Load shedding: new checkouts are refused while one has waited this long for its worker. Below
    #: `redeliver_always_after_seconds`, after which its message is redelivered and its wait starts again.
    web_load_shed_after_seconds: Seconds = 30

    #: Outbound webhooks: how long a request may take, for how long a delivery is retried, and how long a delivered one
    #: is kept. Addresses that are not public are refused, except in these networks (CIDR, with commas).
    outbound_webhook_timeout_seconds: Seconds = 10
    outbound_webhook_concurrency: Count = 16
    outbound_webhook_hours: Count = 72
    outbound_webhook_keep_days: Count = 30
    outbound_webhook_private_networks: str = ""

    #: For how long rejected messages, and settled inbound webhooks, are kept. Providers redeliver a webhook for three
    #: days, and an operator may be on holiday.
    rejected_messages_keep_days: Count = 30
    webhook_inbox_keep_days: Count = 30

    #: Connections of one process, and the time limits after which a hung one loses its row locks.
    pool_size: Count = 5
    statement_timeout_seconds: Seconds = 15
    #: Off behind a transaction pooler that does not keep prepared statements (pgbouncer before 1.21).
    prepare_statements: bool = True
    lock_timeout_seconds: Seconds = 5

    log_format: str = "auto"  # auto, console or json
    log_level: str = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the first source first: former names come last."""
        former = FormerNamesSource(settings_cls, env_settings, dotenv_settings)
        return init_settings, env_settings, dotenv_settings, file_secret_settings, former

    #: Settings of the gateway that are given in code; None: it reads the environment. Not a variable of its own.
    _gateway_options: Mapping[str, Any] | None = PrivateAttr(default=None)

    @property
    def gateway_options(self) -> Mapping[str, Any] | None:
        """Settings of the gateway, by their field, that precede the environment; None: the environment has them all.

        With them, no `.env` file is read for the gateway.
        """
        return self._gateway_options

    def with_gateway_options(self, **options: Any) -> Self:
        """Return settings with these of the gateway added to its others."""
        return self.with_gateway(self.gateway, **{**(self._gateway_options or {}), **options})

    def with_gateway(self, name: str, **options: Any) -> Self:
        """Return settings with this gateway, and only these settings of it."""
        copied = self.model_copy(update={"gateway": name})
        copied._gateway_options = options  # noqa: SLF001 (a copy of this object)
        return copied

    @field_validator("seller_country")
    @classmethod
    def _country(cls, country: str | None) -> str | None:
        return normalize_country(country) if country else None

    @field_validator("cell")
    @classmethod
    def _cell(cls, cell: str) -> str:
        return check_cell_name(cell) if cell else ""

    @field_validator("tax_rates_ended", mode="before")
    @classmethod
    def _present_value(cls, value: Any) -> Any:
        return rename_value("tax_rates_ended", value)

    @property
    def total_caps(self) -> Mapping[str, int]:
        """The largest totals by currency, in minor units."""
        return parse_amounts(self.max_totals)

    @property
    def drift_tolerances(self) -> Mapping[str, int]:
        """How far a total may be from the expected one, by currency, in minor units."""
        return parse_amounts(self.price_drift_tolerances)

    @field_validator("price_drift_tolerances", "max_totals")
    @classmethod
    def _amounts(cls, amounts: str) -> str:
        parse_amounts(amounts)
        return amounts

    @field_validator("outbound_webhook_private_networks", "web_trusted_proxies")
    @classmethod
    def _networks(cls, networks: str) -> str:
        for part in networks.split(","):
            if part.strip():
                ip_network(part.strip())
        return networks


class SettingsError(ValueError):
    """Raised when the environment has no valid settings; its text says what to set."""


def read_settings(**given: Any) -> Settings:
    """Read the environment; `given` settings precede it. Raises SettingsError with one sentence for each mistake."""
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(explain_invalid(Settings, error)) from None


def name_variable(model: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a setting."""
    known = model.model_fields.get(name)
    alias = known.validation_alias if known is not None else None
    if isinstance(alias, str):
        return alias
    return name if name.isupper() else f"{model.model_config.get('env_prefix', '')}{name}".upper()


def explain_invalid(model: type[BaseSettings], error: ValidationError) -> str:
    """Return one sentence for each mistake in the environment, with the variable to set."""
    return " ".join(
        f"Set {name_variable(model, str(each['loc'][0]))}: {explain_objection(('it',), each).removeprefix('it: ')}."
        for each in error.errors()
    )
