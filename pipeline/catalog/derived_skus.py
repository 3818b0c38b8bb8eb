"""Skus for variants that have none: derived from handle and options, and stored.

Different handles or options never get one sku, in any order of rows and files; a variant keeps its sku, also when it is
renamed.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from models.identifiers import normalize_sku
from pipeline.catalog.skus import find_variants

__all__ = ["Derived", "Origin", "choose_skus", "derive_sku", "remember_skus"]

MAX_SKU: Final = 255
#: Hexadecimal digits of an origin's digest behind a sku that others would derive too; more when that sku exists too.
SUFFIXES: Final = (8, 16, 64)

# For a transaction: two imports that derive at once would both find a sku free. Blocks nothing else.
SERIALIZE: Final = text("SELECT pg_advisory_xact_lock(hashtext('derived_skus'))")

FIND_KNOWN: Final = text("""
    SELECT d.digest, v.sku FROM derived_skus d JOIN variants v ON v.id = d.variant_id
    WHERE d.digest = ANY(CAST(:digests AS text[]))
""")

FIND_TAKEN: Final = text("""
    SELECT v.sku, v.title, d.digest IS NOT NULL AS is_remembered
    FROM variants v LEFT JOIN derived_skus d ON d.variant_id = v.id WHERE v.sku = ANY(CAST(:skus AS text[]))
""")

REMEMBER: Final = text("""
    INSERT INTO derived_skus (digest, handle, options, variant_id)
    SELECT g.digest, g.handle, ARRAY(SELECT jsonb_array_elements_text(CAST(g.options AS jsonb))), g.variant_id
    FROM unnest(CAST(:digests AS text[]), CAST(:handles AS text[]), CAST(:options AS text[]), CAST(:ids AS bigint[]))
        AS g (digest, handle, options, variant_id)
    ORDER BY g.digest ON CONFLICT (digest) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a sku is derived from: a handle and option values by their place, empty ones included, all in NFC."""

    handle: str
    options: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Return the digest of this origin: 64 hexadecimal digits."""
        options = list(self.options)
        while options and not options[-1]:
            options.pop()
        return hashlib.sha256(json.dumps([self.handle, *options]).encode()).hexdigest()

    @property
    def shown_options(self) -> tuple[str, ...]:
        """Return the options that have a value."""
        return tuple(option for option in self.options if option)

    @property
    def plain_sku(self) -> str:
        """Return the sku that it has when nothing else derives the same."""
        return derive_sku(self.handle, self.shown_options)

    def list_skus(self) -> list[str]:
        """Return the skus that only this origin derives, the shortest first."""
        return [f"{self.plain_sku[: MAX_SKU - 1 - digits]}-{self.digest[:digits]}" for digits in SUFFIXES]


@dataclass(frozen=True, slots=True)
class Derived:
    """A variant whose sku is to be derived. `is_shared`: another one of the same file derives the same plain sku."""

    origin: Origin
    title: str
    is_shared: bool


def derive_sku(handle: str, options: tuple[str, ...]) -> str:
    """Make a sku of a handle and option values: `classic-varsity-top-small`. Letters of every script stay."""
    slug = re.sub(r"[\W_]+", "-", " ".join((handle, *options)).casefold()).strip("-")
    return normalize_sku(slug) if slug and len(slug) <= MAX_SKU else slug


def choose_skus(connection: Connection, wanted: Sequence[Derived]) -> dict[Origin, str]:
    """Return the sku of each origin: the one that it has, else one that nothing else has.

    A variant without a stored origin is recognised by its title. Other transactions that derive skus wait for this one;
    call `remember_skus` in it once the variants are written.
    """
    if not wanted:
        return {}
    connection.execute(SERIALIZE)
    digests = [each.origin.digest for each in wanted]
    known = {row.digest: row.sku for row in connection.execute(FIND_KNOWN, {"digests": digests})}
    chosen = {each.origin: known[each.origin.digest] for each in wanted if each.origin.digest in known}
    # By content, so that the order of the rows decides nothing.
    unknown = sorted(
        (each for each in wanted if each.origin not in chosen),
        key=lambda each: (each.origin.plain_sku, each.origin.digest),
    )
    candidates = [sku for each in unknown for sku in (each.origin.plain_sku, *each.origin.list_skus())]
    existing = {row.sku: row for row in connection.execute(FIND_TAKEN, {"skus": candidates})}
    used = set(chosen.values())
    for each in unknown:
        sku = _choose(each, existing, used)
        used.add(sku)
        chosen[each.origin] = sku
    return chosen


def remember_skus(connection: Connection, chosen: Mapping[Origin, str]) -> None:
    """Store which variants stand for these origins, for good; what is stored already stays."""
    ids = find_variants(connection, set(chosen.values()))
    connection.execute(
        REMEMBER,
        {
            "digests": [origin.digest for origin in chosen],
            "handles": [origin.handle for origin in chosen],
            "options": [json.dumps(origin.options) for origin in chosen],
            "ids": [ids[sku] for sku in chosen.values()],
        },
    )


def _choose(derived: Derived, existing: Mapping[str, Row[Any]], used: set[str]) -> str:
    plain = derived.origin.plain_sku
    stored = existing.get(plain)
    if plain not in used and (
        not derived.is_shared if stored is None else not stored.is_remembered and _fits(derived, stored.title)
    ):
        return plain
    return next(sku for sku in derived.origin.list_skus() if sku not in existing and sku not in used)


def _fits(derived: Derived, title: str) -> bool:
    """Whether a variant that has the plain sku, with this title, was derived from this origin before."""
    if title == derived.title:
        return True
    if derived.is_shared:
        return False
    # Titles of products change; the names of options hardly ever.
    options = " / ".join(derived.origin.shown_options)
    return title.endswith(f" - {options}") if options else " - " not in title
