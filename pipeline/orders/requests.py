"""Requests about placed orders, checked on receipt.

Unknown fields are ignored, so that a caller may be newer than the engine; everything known is strict and bounded.
"""

import hashlib
import json
from collections.abc import Hashable, Iterable
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.limits import MAX_LINES
from models.money import MAX_MINOR
from models.states import ChangeKind
from pipeline.field_types import Reference
from pipeline.field_types.kinds import Location, ShortText

#: Largest number of a line and of units: PostgreSQL's integer.
_MAX_INTEGER: Final = 2**31 - 1

LineNumber = Annotated[int, Field(gt=0, le=_MAX_INTEGER, strict=True)]
Units = Annotated[int, Field(gt=0, le=_MAX_INTEGER, strict=True)]
Amount = Annotated[int, Field(gt=0, le=MAX_MINOR, strict=True)]


class Resolution(StrEnum):
    """What a person decides about a change that needs review."""

    RETRY = "retry"  # it was not done: do it again, with a new key if the provider does not show the old one
    DONE = "done"  # it was done, here or elsewhere
    FAILED = "failed"  # it was not done, and will not be


class Model(BaseModel):
    """Base of the requests: immutable, unknown fields ignored. Their errors do not show what was sent."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class LineUnits(Model):
    """Units of a line of the order, by the line's number."""

    line: LineNumber
    quantity: Units


class PlacedUnits(LineUnits):
    """Units of a line at a location, by its code. Without one: where the line was sold, if that is one location."""

    location: Location | None = None


Lines = Annotated[tuple[LineUnits, ...], Field(max_length=MAX_LINES)]
PlacedLines = Annotated[tuple[PlacedUnits, ...], Field(min_length=1, max_length=MAX_LINES)]


def _refuse_repeated(keys: Iterable[Hashable], what: str) -> None:
    found = list(keys)
    if len(set(found)) != len(found):
        raise ValueError(f"{what} is named twice: name it once, with all of its units")


class CancelRequest(Model):
    """Cancel the order: refund what is left, and restock its units unless `restock` is False."""

    reason: ShortText = ""
    restock: bool = True


class RefundRequest(Model):
    """Refund `all` that is left, an amount, or lines with their units and an amount of the delivery."""

    reason: ShortText = ""
    all: bool = False
    amount_minor: Amount | None = None
    lines: Lines = ()
    delivery_minor: Amount | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "RefundRequest":
        by_parts = bool(self.lines) or self.delivery_minor is not None
        if self.all + (self.amount_minor is not None) + by_parts != 1:
            raise ValueError("name one of them: all, amount_minor, or lines and delivery_minor")
        _refuse_repeated((each.line for each in self.lines), "a line")
        return self


class RestockRequest(Model):
    """Put units that came back into stock again."""

    reason: ShortText = ""
    lines: PlacedLines

    @model_validator(mode="after")
    def _distinct(self) -> "RestockRequest":
        _refuse_repeated(((each.line, each.location) for each in self.lines), "a line at a location")
        return self


class FulfillmentRequest(Model):
    """Record what was sent to the buyer."""

    reason: ShortText = ""
    lines: PlacedLines
    carrier: Reference | None = None
    tracking: Reference | None = None

    @model_validator(mode="after")
    def _distinct(self) -> "FulfillmentRequest":
        _refuse_repeated(((each.line, each.location) for each in self.lines), "a line at a location")
        return self


ChangeRequest = CancelRequest | RefundRequest | RestockRequest | FulfillmentRequest

KINDS: Final[dict[type[ChangeRequest], ChangeKind]] = {
    CancelRequest: ChangeKind.CANCEL,
    RefundRequest: ChangeKind.REFUND,
    RestockRequest: ChangeKind.RESTOCK,
    FulfillmentRequest: ChangeKind.FULFILLMENT,
}


def fingerprint(order_id: UUID, request: ChangeRequest) -> str:
    """Return a hash of everything in a request about an order; the same key must always have the same one."""
    body = request.model_dump(mode="json", exclude_none=True)
    canonical = f"{KINDS[type(request)]} {order_id} {json.dumps(body, sort_keys=True)}"
    return hashlib.sha256(canonical.encode()).hexdigest()
