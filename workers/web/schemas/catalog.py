"""Bodies of HTTP responses about the catalog."""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import ConfigDict

from workers.web.schemas.examples import CHANGE_ID
from workers.web.schemas.responses import FailureView, View

VARIANT: Final[dict[str, Any]] = {
    "sku": "kettle",
    "title": "A kettle",
    "category": None,
    "backorder_policy": "deny",
    "active": True,
    "prices": [
        {
            "currency": "EUR",
            "amount_minor": 3900,
            "tax_included": True,
            "valid_from": "2026-11-26T12:00:00Z",
            "valid_until": None,
            "is_valid": True,
        }
    ],
}
LEVEL: Final[dict[str, Any]] = {
    "sku": "kettle",
    "location": "main",
    "on_hand": 12,
    "held": 2,
    "available": 10,
    "backorder": False,
}
DONE: Final[dict[str, Any]] = {
    "row": 0,
    "state": "done",
    "sku": "kettle",
    "location": "main",
    "before": 7,
    "on_hand": 12,
}


class ListPriceView(View):
    """A list price that is valid now, or will be. `is_valid`: it is the one that counts now."""

    currency: str
    amount_minor: int
    tax_included: bool
    valid_from: datetime
    valid_until: datetime | None = None
    is_valid: bool


class VariantView(View):
    """A variant with its prices."""

    sku: str
    title: str
    category: str | None = None
    backorder_policy: Literal["deny", "continue"]
    active: bool
    prices: list[ListPriceView]


class VariantListView(View):
    """Variants in the order of their skus; `next_after` is the `after` of the next page, null on the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"variants": [VARIANT], "next_after": None}]})

    variants: list[VariantView]
    next_after: str | None = None


class StockLevelView(View):
    """Units of a variant at a location. `available` may be sold: on hand, less those that checkouts hold."""

    sku: str
    location: str
    on_hand: int
    held: int
    available: int
    backorder: bool


class StockView(View):
    """The stock of the variants that were asked for; nothing of one without stock."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"levels": [LEVEL]}]})

    levels: list[StockLevelView]


class AvailabilityView(View):
    """Whether a variant can be bought now, and how many units are available at all locations together."""

    sku: str
    sellable: bool
    available: int
    backorder: bool


class AvailabilityListView(View):
    """One entry for each sku that was asked for, in that order. An unknown one is not sellable."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"variants": [{"sku": "kettle", "sellable": True, "available": 10, "backorder": False}]},
            ]
        }
    )

    variants: list[AvailabilityView]


class RowView(View):
    """What became of one row: done, with its facts, or refused. `row` is its place, from 0."""

    row: int
    state: Literal["done", "refused"]
    failure: FailureView | None = None
    sku: str | None = None
    currency: str | None = None
    location: str | None = None
    before: int | None = None
    on_hand: int | None = None
    from_location: str | None = None
    from_on_hand: int | None = None
    to_location: str | None = None
    to_on_hand: int | None = None


class BatchView(View):
    """What became of a batch: every row was done (200), or only some, or none (207). `id` is null when none was."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": CHANGE_ID, "done": 1, "refused": 0, "results": [DONE]}]}
    )

    id: UUID | None = None
    done: int
    refused: int
    results: list[RowView]
