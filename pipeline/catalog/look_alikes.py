"""Which sku of the catalog may have been meant."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, text

from models.identifiers import make_skeleton

FIND: Final = text("""
    SELECT DISTINCT ON (look_alike) look_alike, sku FROM variants
    WHERE look_alike = ANY(CAST(:look_alikes AS text[])) ORDER BY look_alike, active DESC, sku
""")


def find_look_alikes(connection: Connection, skus: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the facts of a refusal, `look_alike`, for each of these that can be confused with a sku of the catalog.

    By case, width, blanks, or letters that look alike. One round trip, over an index; none for no sku.
    """
    skeletons = {sku: make_skeleton(sku) for sku in skus}
    if not skeletons:
        return {}
    rows = connection.execute(FIND, {"look_alikes": sorted(set(skeletons.values()))})
    known = {row.look_alike: row.sku for row in rows}
    return {
        sku: {"look_alike": known[skeleton]} for sku, skeleton in skeletons.items() if known.get(skeleton, sku) != sku
    }
