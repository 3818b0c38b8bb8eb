"""Types of input fields, each with its bounds and its normal form."""

import math
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StringConstraints, WithJsonSchema

from models.identifiers import (
    normalize_coupon_code,
    normalize_customer,
    normalize_location,
    normalize_sku,
    normalize_tax_category,
    normalize_tax_id,
)
from models.identifiers.addresses import ADDRESS_SCHEMA, normalize_address
from models.identifiers.keys import MAX_CATEGORY, MAX_COUPON_CODE, MAX_CUSTOMER, MAX_LOCATION, MAX_SKU
from models.identifiers.tax_ids import MAX_TAX_ID
from models.identifiers.texts import clean
from models.limits import MAX_ADDRESS, MAX_REFERENCE, MAX_TTL_SECONDS
from models.money import MAX_MINOR, minor_digits
from pipeline.field_types.json_bounds import measure


def _known_currency(code: str) -> str:
    if minor_digits(code) is None:
        raise ValueError(f"{code} is not an ISO 4217 currency with a minor unit")
    return code


def _storable(text: str) -> str:
    # PostgreSQL stores neither: refused here, with a sentence, and not by psycopg.
    if "\x00" in text:
        raise ValueError("it contains a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("it contains half of a surrogate pair")
    return text


def check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it contains characters that cannot be shown")
    return text


def _customer(text: str) -> str:
    normalize_customer(text)  # what is left of it must be something
    return clean(text, limit=MAX_CUSTOMER)


#: Characters of an operator's reason for a command.
MAX_REASON: Final = 500
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_REASON), AfterValidator(check_printable)
]
#: Characters of a person's name as an actor: with what the engine adds it fits into MAX_REFERENCE.
MAX_ACTOR: Final = 200
Actor = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ACTOR), AfterValidator(check_printable)
]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=MAX_REFERENCE), AfterValidator(_storable)]
ShortText = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_storable)]
FilledText = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_storable)]
Location = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LOCATION), AfterValidator(normalize_location)]
Category = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_CATEGORY), AfterValidator(normalize_tax_category)
]
Sku = Annotated[str, StringConstraints(min_length=1, max_length=MAX_SKU), AfterValidator(normalize_sku)]
Customer = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CUSTOMER), AfterValidator(_customer)]
TaxId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TAX_ID), AfterValidator(normalize_tax_id)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_known_currency)]
Minor = Annotated[int, Field(ge=0, le=MAX_MINOR, strict=True)]


def _bounded_json(value: object) -> object:
    measure(value, MAX_ADDRESS)
    return value


def _leaves(value: JsonValue) -> Iterator[str | float]:
    if isinstance(value, str | float):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)


def _storable_json(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for leaf in _leaves(value):
        if isinstance(leaf, str):
            _storable(leaf)
        elif not math.isfinite(leaf):
            raise ValueError("it contains a number that JSON does not have")
    return value


CouponCode = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_COUPON_CODE), AfterValidator(normalize_coupon_code)
]
Json = Annotated[dict[str, JsonValue], BeforeValidator(_bounded_json), AfterValidator(_storable_json)]
Ttl = Annotated[int, Field(gt=0, le=MAX_TTL_SECONDS, strict=True)]
#: An address that may still lack something: the validation of the cart requires the rest.
AddressDraft = Annotated[Json, AfterValidator(normalize_address), WithJsonSchema(ADDRESS_SCHEMA)]
