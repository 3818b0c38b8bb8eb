"""Fill the facts into a sentence: texts from outside are quoted, counts have their word.

`{sku!q}` shows a text from outside in quotes, where a blank or an invisible character can be seen; `{lines:line|lines}`
shows a count with its word in singular or plural. Everything else is as in `str.format`.
"""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any, Final

#: The longest text from outside that a sentence shows: a SKU has at most 255 characters.
MAX_QUOTED: Final = 300
#: Characters with their own escape in JSON, which most readers know.
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(text: str) -> str:
    r"""Return the text in double quotes, cut at `MAX_QUOTED` characters, with invisible ones as escapes: `\u200b`."""
    shown = text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 1]}…"
    return f'"{"".join(_show(character) for character in shown)}"'


def fill(template: str, facts: Mapping[str, Any]) -> str:
    """Return the template with its facts filled in; a fact that is missing shows as `?`.

    A sentence with a gap is better than an unwind without a reason.
    """
    return _WRITER.vformat(template, (), facts)


def describe(template: str) -> str:
    """Return the template as documents show it: the names of its facts in backticks, its counts in the plural."""
    parts = []
    for text, name, form, _conversion in _WRITER.parse(template):
        plural = form.partition("|")[2] if form else ""
        parts.append(text + (f"`{name}`" if name is not None else "") + (f" {plural}" if plural else ""))
    return "".join(parts)


def count(number: float, singular: str, plural: str) -> str:
    """Return a number with its word in singular or plural: `1 line`, `0 lines`."""
    return f"{number} {singular if number == 1 else plural}"


def _show(character: str) -> str:
    if (escape := _ESCAPES.get(character)) is not None:
        return escape
    if character == " " or character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


class _Hole:
    """A fact that is missing."""

    def __format__(self, form: str) -> str:
        plural = form.partition("|")[2]
        return f"? {plural}" if plural else "?"

    def __str__(self) -> str:
        return "?"


class _Writer(Formatter):
    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        del args
        return kwargs.get(str(key), _HOLE)

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        if conversion == "q":
            return value if value is _HOLE else quote(str(value))
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        singular, separator, plural = format_spec.partition("|")
        if separator and isinstance(value, int | float):
            return count(value, singular, plural)
        return str(format(value, "" if separator and value is not _HOLE else format_spec))


_HOLE: Final = _Hole()
_WRITER: Final = _Writer()
