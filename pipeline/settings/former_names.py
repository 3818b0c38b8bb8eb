"""Environment variables that have another name now: read for one release, each with one line of warning.

If the former and the new name are both set, the new one is used, with the same warning.
"""

import warnings
from collections.abc import Mapping
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from models.money import parse_amounts

#: Former name to name, both without `CHECKOUT_`.
FORMER_NAMES: Final[Mapping[str, str]] = {
    "stall_seconds": "redeliver_after_seconds",
    "overdue_seconds": "redeliver_always_after_seconds",
    "tick_seconds": "sweep_interval_seconds",
    "idle_seconds": "poll_interval_seconds",
    "look_seconds": "post_end_poll_seconds",
    "look_hours": "post_end_poll_hours",
    "gateway_claim_seconds": "gateway_lease_seconds",
    "action_window_seconds": "buyer_action_timeout_seconds",
    "intent_max_age_seconds": "idempotency_key_max_age_seconds",
    "webhook_hours": "inbound_webhook_retry_hours",
    "delivery_timeout_seconds": "outbound_webhook_timeout_seconds",
    "delivery_concurrency": "outbound_webhook_concurrency",
    "delivery_hours": "outbound_webhook_hours",
    "delivery_keep_days": "outbound_webhook_keep_days",
    "delivery_private_networks": "outbound_webhook_private_networks",
    "web_backlog_seconds": "web_load_shed_after_seconds",
    "web_wait_cap_seconds": "web_max_wait_seconds",
    "web_requests_per_minute": "web_writes_per_minute",
    "payment_tries": "payment_attempts",
    "refused_messages_keep_days": "rejected_messages_keep_days",
    "price_drift_tolerance_minor": "price_drift_tolerances",
    "max_total_minor": "max_totals",
}

#: These were amounts in the base currency; the new ones are amounts by currency.
WITHOUT_CURRENCY: Final = frozenset({"price_drift_tolerance_minor", "max_total_minor"})

#: Values that have another name now, by setting.
FORMER_VALUES: Final[Mapping[str, Mapping[str, str]]] = {"tax_rates_ended": {"tell": "report"}}

_PREFIX: Final = "checkout_"
#: So that a process warns once of each name, however often it reads its settings.
_warned: dict[Any, Any] = {}


class FormerNamesSource(PydanticBaseSettingsSource):
    """Settings by their former names, from the environment and then from `.env`; every other source precedes it."""

    def __init__(self, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource) -> None:
        """Take the sources whose variables are read, the first source first."""
        super().__init__(settings_cls)
        self._sources = [source for source in sources if isinstance(source, EnvSettingsSource)]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return no value: names are looked up in the other direction, in `__call__`."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values by their new names, and warn of each former name that is set."""
        found: dict[str, Any] = {}
        for former, name in FORMER_NAMES.items():
            if (value := self._read(former)) is None:
                continue
            if former in WITHOUT_CURRENCY:
                value = self._add_currency(name, value)
            is_set = name in self.current_state
            if not is_set:
                found[name] = value
            _warn(former, name, value if former in WITHOUT_CURRENCY else None, is_ignored=is_set)
        return found

    def _read(self, former: str) -> str | None:
        values = (source.env_vars.get(_PREFIX + former) for source in self._sources)
        return next((value for value in values if value), None)

    def _add_currency(self, name: str, minor: str) -> str:
        fields = self.settings_cls.model_fields
        currency = self.current_state.get("base_currency", fields["base_currency"].default)
        amounts = {str(key): str(value) for key, value in parse_amounts(fields[name].default).items()}
        return ",".join(f"{key}:{value}" for key, value in (amounts | {currency: minor}).items())


def _warn(former: str, name: str, value: str | None, *, is_ignored: bool) -> None:
    new = f"CHECKOUT_{name.upper()}" + (f"={value}" if value else "")
    ignored = " It is ignored, because the new name is set too." if is_ignored else ""
    sentence = f"CHECKOUT_{former.upper()} is the former name of a setting: set {new} instead.{ignored}"
    # Not `warn`: it prints a second line, of source code.
    warnings.warn_explicit(sentence, FutureWarning, filename="environment", lineno=1, registry=_warned)


def rename_value(setting: str, value: Any) -> Any:
    """Return the value's present name, with a warning where it has a former one."""
    new = FORMER_VALUES.get(setting, {}).get(value) if isinstance(value, str) else None
    if new is None:
        return value
    sentence = f"CHECKOUT_{setting.upper()}={value} is a former value: set {new} instead."
    warnings.warn_explicit(sentence, FutureWarning, filename="environment", lineno=1, registry=_warned)
    return new
