"""Settings that are a choice between named values."""

from enum import StrEnum


class TaxRounding(StrEnum):
    """Where tax is rounded: on each line, or once for each order and rate, and then shared out over the lines."""

    LINE = "line"
    ORDER = "order"


class IntakePrices(StrEnum):
    """How the engine handles a queued request that names prices, discounts, taxes or delivery costs itself."""

    ALLOW = "allow"
    REFUSE = "refuse"


class TaxRatesEnded(StrEnum):
    """How the engine handles a checkout where a country or region had tax rates and none of them is valid now."""

    REPORT = "report"  # it continues without them; an event, `diagnose` and health report it
    REFUSE = "refuse"
