"""Look up the variants that rows name."""

from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeVar

from sqlalchemy import Connection, text

from pipeline.catalog.look_alikes import find_look_alikes
from pipeline.errors import Code, NotFound

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)

FIND_VARIANTS: Final = text("SELECT sku, id FROM variants WHERE sku = ANY(CAST(:skus AS text[]))")


def index_rows(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, Row]:
    """Return the rows by their key. Two rows with one key raise ValueError: one of them would be lost."""
    indexed: dict[Key, Row] = {}
    for row in rows:
        if indexed.setdefault(key(row), row) is not row:
            raise ValueError(f"{key(row)!r} is given twice")
    return indexed


def find_variants(connection: Connection, skus: Iterable[str]) -> dict[str, int]:
    """Return the ids of these variants by sku; raise NotFound for the first one that does not exist."""
    wanted = set(skus)
    ids = {row.sku: row.id for row in connection.execute(FIND_VARIANTS, {"skus": sorted(wanted)})}
    if missing := sorted(wanted - ids.keys()):
        raise explain_unknown(connection, missing[:1])[missing[0]]
    return ids


def find_unknown(connection: Connection, skus: Iterable[str]) -> dict[str, NotFound]:
    """Return why each of these that no variant has is refused."""
    wanted = set(skus)
    known = {row.sku for row in connection.execute(FIND_VARIANTS, {"skus": sorted(wanted)})}
    return explain_unknown(connection, sorted(wanted - known))


def explain_unknown(connection: Connection, skus: Iterable[str]) -> dict[str, NotFound]:
    """Return the refusal of each of these, which no variant has."""
    missing = list(skus)
    alike = find_look_alikes(connection, missing)
    return {sku: NotFound(Code.SKU_UNKNOWN, sku=sku, **alike.get(sku, {})) for sku in missing}
