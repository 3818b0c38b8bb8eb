"""The forms of an order's page, read as the requests that the engine knows."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from models.money import parse_amount
from pipeline.errors import Code, Invalid
from pipeline.errors.objections import explain_first
from pipeline.field_types import Reason
from pipeline.orders.requests import (
    CancelRequest,
    ChangeRequest,
    FulfillmentRequest,
    RefundRequest,
    RestockRequest,
)

Built = TypeVar("Built", bound=BaseModel)
Action = Literal["cancel", "refund", "restock", "fulfill"]

#: The names of fields with the units of a line: `units.1`, or `units.1.main` at a location.
UNITS: Final = "units."


class _Why(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    reason: Reason


def read_reason(fields: Mapping[str, str]) -> str:
    """Return the reason that a form gives; Invalid without one."""
    return _build(_Why, {"reason": fields.get("reason", "")}).reason


def read_request(action: Action, fields: Mapping[str, str], currency: str) -> ChangeRequest:
    """Return what a form asks for; Invalid, with the reason, for what cannot be asked for."""
    match action:
        case "cancel":
            return _build(
                CancelRequest, {"reason": read_reason(fields), "restock": fields.get("restock", "yes") != "no"}
            )
        case "refund":
            return _build(RefundRequest, {"reason": read_reason(fields), **_read_refund(fields, currency)})
        case "restock":
            return _build(RestockRequest, {"reason": read_reason(fields), "lines": _read_lines(fields)})
        case "fulfill":
            parcel = {name: fields[name] for name in ("carrier", "tracking", "reason") if name in fields}
            return _build(FulfillmentRequest, {"lines": _read_lines(fields), **parcel})


def _read_refund(fields: Mapping[str, str], currency: str) -> dict[str, Any]:
    """Return the one way of a refund that was chosen: the fields of the others may have been filled in before."""
    match fields.get("how"):
        case "all":
            return {"all": True}
        case "amount":
            return {"amount_minor": _read_amount(fields, "amount", currency)}
        case _:
            return {"lines": _read_lines(fields), "delivery_minor": _read_amount(fields, "delivery", currency)}


def _read_lines(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    return list(_iterate_lines(fields))


def _iterate_lines(fields: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, value in fields.items():
        if not name.startswith(UNITS):
            continue
        line, _, location = name.removeprefix(UNITS).partition(".")
        units = _read_count(value)
        if units:
            yield {"line": _read_count(line), "quantity": units, **({"location": location} if location else {})}


def _read_count(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise Invalid(Code.REQUEST_INVALID, reason="the units of a line are not a whole number")
    return int(text)


def _read_amount(fields: Mapping[str, str], name: str, currency: str) -> int | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        return parse_amount(text, currency).minor
    except ValueError:
        reason = f"{name} is not an amount of {currency}, such as 4.50 or 450"
        raise Invalid(Code.REQUEST_INVALID, reason=reason) from None


def _build(kind: type[Built], values: Mapping[str, Any]) -> Built:
    try:
        return kind(**values)
    except ValidationError as error:
        raise Invalid(Code.REQUEST_INVALID, reason=explain_first(error)) from None
