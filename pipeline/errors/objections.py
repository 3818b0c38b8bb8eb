"""What is wrong with an input, in words: one phrase for each kind of mistake that validation finds.

The library's own messages name patterns and types (`String should match pattern '^[A-Z]{2}$'`), which no caller knows.
A phrase shows the name of a field, and never its value.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pydantic import ValidationError

from pipeline.errors.wording import count

#: The phrases of mistakes that carry no bound.
_PHRASES: Final = {
    "missing": "is missing",
    "string_type": "must be text",
    "bytes_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is a larger number than any that can be stored",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number, and not an infinite one",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "uuid_version": "must be a UUID",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "none_required": "must be left out",
    "extra_forbidden": "is not known here: leave it out",
    "recursion_loop": "refers to itself",
    "string_unicode": "is not text in UTF-8",
    "date_parsing": "must be a date such as 2026-11-30",
    "datetime_parsing": "must be a time such as 2026-11-30T12:00:00Z",
    "url_parsing": "is not an address",
}

#: The phrases of bounds, and which fact is the bound.
_BOUNDS: Final = {
    "greater_than": ("must be above", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be below", "lt"),
    "less_than_equal": ("must be at most", "le"),
    "enum": ("must be", "expected"),
    "literal_error": ("must be", "expected"),
}

_FEWER: Final = "has fewer than"
_MORE: Final = "has more than"

#: The phrases of lengths, which fact is the bound, and what is counted.
_LENGTHS: Final = {
    "string_too_short": (_FEWER, "min_length", "character", "characters"),
    "string_too_long": (_MORE, "max_length", "character", "characters"),
    "too_short": (_FEWER, "min_length", "entry", "entries"),
    "too_long": (_MORE, "max_length", "entry", "entries"),
}

#: What a text must be that has to match a pattern. A test compares every pattern of the interface with this table.
FORMS: Final = {
    r"^[A-Z]{2}$": "must be a country code of two capital letters such as GB",
    r"^[A-Z]{3}$": "must be a currency code of three capital letters such as EUR",
    r"^[0-9]{1,3}(\.[0-9]{1,9})?$": 'must be a fraction as text, such as "0.2" for 20 %',
    r"^[0-9]{1,9}$": "must be the number of a line",
}


def explain_first(error: ValidationError) -> str:
    """Return the first mistake as a phrase with the field's name: `lines.0.quantity is missing`."""
    first = error.errors(include_url=False, include_input=False)[0]
    return explain_objection(first["loc"], first)


def explain_objection(location: Sequence[int | str], objection: Mapping[str, object]) -> str:
    """Return one mistake as a phrase; `location` is the name of its field, part by part."""
    where = ".".join(str(part) for part in location)
    kind, facts = str(objection["type"]), cast("Mapping[str, Any]", objection.get("ctx", {}))
    if kind in {"value_error", "assertion_error"}:
        # A validator of this project raised it: its sentence is shown as it is.
        what = str(facts.get("error", objection["msg"])).strip()
        return f"{where}: {what}" if where else what
    what = _describe(kind, facts, str(objection["msg"]))
    return f"{where} {what}" if where else what


def _describe(kind: str, facts: Mapping[str, Any], message: str) -> str:
    if (phrase := _PHRASES.get(kind)) is not None:
        return phrase
    if (bound := _BOUNDS.get(kind)) is not None:
        limit = facts[bound[1]]
        return f"{bound[0]} {int(limit) if isinstance(limit, float) and limit.is_integer() else limit}"
    if (length := _LENGTHS.get(kind)) is not None:
        limit = int(facts[length[1]])
        return "is empty" if (length[0], limit) == (_FEWER, 1) else f"{length[0]} {count(limit, *length[2:])}"
    match kind:
        case "string_pattern_mismatch":
            return FORMS.get(str(facts["pattern"]), f"does not fit the pattern {facts['pattern']}")
        case _:
            return f"cannot be used: {message[:1].lower()}{message[1:]}"
