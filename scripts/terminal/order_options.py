"""Options of the commands about orders: which order, which units of which lines, which amounts."""

import re
from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import typer
from pydantic import ValidationError

from models.money import parse_amount
from pipeline.errors.objections import explain_first
from pipeline.orders.reading.listing import MAX_NUMBER
from pipeline.orders.requests import LineUnits, PlacedUnits

#: `1:2` or `1:2@main`. A location's code may have any character.
_UNITS: Final = re.compile(r"(?P<line>[0-9]{1,10}):(?P<quantity>[0-9]{1,10})(?:@(?P<location>.+))?", re.DOTALL)

OrderName = Annotated[str, typer.Argument(metavar="ORDER", help="The order's number or id.")]
Units = Annotated[
    list[str] | None,
    typer.Option("--line", metavar="LINE:UNITS", help="Units of a line of the order, such as 1:2; may be repeated."),
]
PlacedUnitsOption = Annotated[
    list[str],
    typer.Option(
        "--line",
        metavar="LINE:UNITS[@LOCATION]",
        help="Units of a line of the order, such as 1:2 or 1:2@main; may be repeated.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="An idempotency key: the same key makes the change once, however often it is sent."),
]
Wait = Annotated[float, typer.Option(min=0, max=600, help="Wait up to so many seconds for the end of the change.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def read_order_name(name: str) -> tuple[UUID | None, int | None]:
    """Return the id or the number that an argument names; BadParameter for anything else."""
    if name.isascii() and name.isdigit() and len(name) <= len(str(MAX_NUMBER)) and 0 < int(name) <= MAX_NUMBER:
        return None, int(name)
    try:
        return UUID(name), None
    except ValueError:
        raise typer.BadParameter(f"{name!r} is neither the number nor the id of an order") from None


def read_units(given: Sequence[str] | None) -> tuple[LineUnits, ...]:
    """Return the units of lines that options name; BadParameter for what is none."""
    return tuple(LineUnits(line=each.line, quantity=each.quantity) for each in _read(given, placed=False))


def read_placed_units(given: Sequence[str]) -> tuple[PlacedUnits, ...]:
    """Return the units of lines, with their locations, that options name; BadParameter for what is none."""
    return _read(given, placed=True)


def read_amount(given: str | None, currency: str, option: str) -> int | None:
    """Return an amount of the order's currency in minor units; BadParameter for what is none."""
    if given is None:
        return None
    try:
        minor = parse_amount(given, currency).minor
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
    if minor <= 0:
        raise typer.BadParameter(f"{option}: name an amount above zero")
    return minor


def _read(given: Sequence[str] | None, *, placed: bool) -> tuple[PlacedUnits, ...]:
    units = []
    for each in given or ():
        found = _UNITS.fullmatch(each)
        if found is None or (found["location"] and not placed):
            wanted = "1:2 or 1:2@main" if placed else "1:2"
            raise typer.BadParameter(f"--line {each!r}: name the line and its units, such as {wanted}")
        try:
            units.append(
                PlacedUnits(line=int(found["line"]), quantity=int(found["quantity"]), location=found["location"])
            )
        except ValidationError as error:
            raise typer.BadParameter(f"--line {each!r}: {explain_first(error)}") from None
    return tuple(units)
