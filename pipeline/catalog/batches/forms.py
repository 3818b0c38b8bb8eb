"""What writers of the catalog send, checked on receipt. A row that is not valid does not make its batch invalid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from models.limits import MAX_UNITS
from models.money import MAX_MINOR
from pipeline.errors.objections import explain_first
from pipeline.field_types import Reference
from pipeline.field_types.kinds import Category, Currency, FilledText, Location, ShortText, Sku

#: Rows of one batch: they are one transaction, which sellers of the same variants wait for.
MAX_ROWS: Final = 1000

Units = Annotated[int, Field(gt=0, le=MAX_UNITS, strict=True)]
OnHand = Annotated[int, Field(ge=-MAX_UNITS, le=MAX_UNITS, strict=True)]


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that is not valid, and why."""

    reason: str


def _keep(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        return InvalidRow(explain_first(error))


class Model(BaseModel):
    """Base of the forms: immutable, misspelt fields refused. Their errors do not show what was sent."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class VariantForm(Model):
    """A variant as it shall be. `backorder_policy`: whether it may be sold beyond what is on hand."""

    sku: Sku
    title: FilledText
    category: Category | None = None
    backorder_policy: Literal["deny", "continue"] = "deny"
    active: Annotated[bool, Field(strict=True)] = True


class PriceForm(Model):
    """A list price, from now on; or from a later moment, or until one.

    Without `valid_until` it is the base price. One with an end precedes the base price while it is valid.
    `tax_included` is for a variant without a price: every other variant keeps what it has.
    """

    sku: Sku
    currency: Currency
    amount_minor: Annotated[int, Field(gt=0, le=MAX_MINOR, strict=True)]
    tax_included: Annotated[bool, Field(strict=True)] | None = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "PriceForm":
        if self.valid_from and self.valid_until and self.valid_until <= self.valid_from:
            raise ValueError("valid_until is not after valid_from")
        return self


class StockForm(Model):
    """Units of a variant at a location: `delta` more or fewer, or `set` as they shall be.

    `set` needs `expected`, what its writer has seen on hand (0 where nothing was yet): a sale in between is not lost.
    """

    sku: Sku
    location: Location
    delta: OnHand | None = None
    set: OnHand | None = None
    expected: OnHand | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "StockForm":
        if (self.delta is None) == (self.set is None):
            raise ValueError("name one of them: delta, or set with expected")
        if self.set is not None and self.expected is None:
            raise ValueError("set needs expected: the units that you have seen on hand")
        if self.delta is not None and self.expected is not None:
            raise ValueError("a delta needs no expected: leave it out")
        if self.delta == 0:
            raise ValueError("a delta of 0 changes nothing")
        return self


class TransferForm(Model):
    """Units of a variant that went from one location to another."""

    sku: Sku
    from_location: Location
    to_location: Location
    quantity: Units

    @model_validator(mode="after")
    def _distinct(self) -> "TransferForm":
        if self.from_location == self.to_location:
            raise ValueError("from_location and to_location are the same")
        return self


class Batch(Model):
    """Base of the batches: why it is sent, and the writer's own reference."""

    reason: ShortText = ""
    reference: Reference | None = None

    @property
    def all_rows(self) -> Sequence[Any]:
        """The rows as they were sent: valid ones, and InvalidRow."""
        return tuple(getattr(self, "rows"))  # noqa: B009 (each batch has rows of its own kind)


_Bounds = Field(min_length=1, max_length=MAX_ROWS)


class VariantBatch(Batch):
    """Variants to create or to update."""

    rows: Annotated[tuple[Annotated[VariantForm, WrapValidator(_keep)], ...], _Bounds]


class PriceBatch(Batch):
    """List prices to set."""

    rows: Annotated[tuple[Annotated[PriceForm, WrapValidator(_keep)], ...], _Bounds]


class StockBatch(Batch):
    """Stock to change. `create_locations`: a location that does not exist is created, and not refused."""

    create_locations: bool = False
    rows: Annotated[tuple[Annotated[StockForm, WrapValidator(_keep)], ...], _Bounds]


class TransferBatch(Batch):
    """Units to move between locations."""

    create_locations: bool = False
    rows: Annotated[tuple[Annotated[TransferForm, WrapValidator(_keep)], ...], _Bounds]


AnyBatch = VariantBatch | PriceBatch | StockBatch | TransferBatch
