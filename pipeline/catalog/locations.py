"""Locations of stock. The first one of a database is created by itself, each further one only with `create`.

A typing error would otherwise be a new location with new stock.
"""

import difflib
from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, text

from models.identifiers import normalize_location
from pipeline.errors import Code, NotFound
from pipeline.errors.wording import quote

#: All of them: there are as many as a shop has places.
LIST_LOCATIONS: Final = text("SELECT code, id FROM locations ORDER BY code")

CREATE_LOCATIONS: Final = text("""
    INSERT INTO locations (code) SELECT given.code FROM unnest(CAST(:codes AS text[])) AS given (code)
    ON CONFLICT (code) DO NOTHING
""")

#: How alike two names are, from 0 to 1, for one to be suggested when the other does not exist.
LIKENESS: Final = 0.6
#: Locations that a sentence names when none is like the given one.
NAMED: Final = 5


def find_locations(connection: Connection, codes: Collection[str], *, create: bool) -> dict[str, int]:
    """Return the ids of these locations by code, each in the form of `normalize_location`.

    Raises NotFound for the first one that does not exist, naming one that looks like it, unless `create` is set or
    there is no location at all.
    """
    if not create:
        require_locations(connection, codes)
    known = _list(connection)
    if missing := sorted(code for code in codes if code not in known):
        connection.execute(CREATE_LOCATIONS, {"codes": missing})
        known = _list(connection)
    return {code: known[code] for code in codes}


def require_locations(connection: Connection, codes: Collection[str]) -> None:
    """Raise NotFound as `find_locations` does without `create`; writes nothing."""
    if unknown := find_unknown_locations(connection, codes):
        raise unknown[min(unknown)]


def find_unknown_locations(connection: Connection, codes: Collection[str]) -> dict[str, NotFound]:
    """Return why each of these that does not exist is refused; none while there is no location at all."""
    known = _list(connection)
    missing = [code for code in codes if code not in known] if known else []
    hints = {code: _hint(code, sorted(known)) for code in missing}
    return {code: NotFound(Code.LOCATION_UNKNOWN, location=code, hint=hint) for code, hint in hints.items()}


def _list(connection: Connection) -> Mapping[str, int]:
    """Return every location by its normal form; of two that have one form, the one that is written so."""
    rows = connection.execute(LIST_LOCATIONS).all()
    return {normalize_location(row.code): row.id for row in rows} | {row.code: row.id for row in rows}


def _hint(code: str, known: list[str]) -> str:
    if alike := difflib.get_close_matches(code, known, n=1, cutoff=LIKENESS):
        return f"did you mean {quote(alike[0])}?"
    more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
    return f"there is {', '.join(quote(each) for each in known[:NAMED])}{more}"
