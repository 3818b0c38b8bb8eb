"""Writes the variants of a product export into the catalog, one chunk in each transaction, and reports the result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, text

from pipeline.catalog import (
    PriceChanges,
    PriceRow,
    StockRow,
    VariantRow,
    find_stocked,
    set_prices,
    set_stock,
    upsert_variants,
)
from pipeline.catalog.derived_skus import Derived, choose_skus, remember_skus
from pipeline.catalog.locations import require_locations
from pipeline.catalog.stock_rows import StockCount, StockRefused, explain
from pipeline.database import transaction
from pipeline.errors import sentence
from scripts.importers.product_columns import find_unused
from scripts.importers.shopify import Export, ExportedVariant, RowRefusal

__all__ = ["ImportOptions", "Report", "check_options", "import_export"]

#: Variants of one transaction, which locks their stock rows for some tens of milliseconds while checkouts wait.
CHUNK: Final = 1500


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of an import.

    `prices_include_tax` is for variants without a price so far. `stock_as_of` is the time at which the file's
    quantities were counted; without it they are for variants without stock so far.
    """

    currency: str
    location: str = "main"
    create_location: bool = False
    prices_include_tax: bool | None = None
    stock_as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an import. SKUs are derived from handle and options where the file has none.

    `stock_left`: variants whose stock was not changed. `untracked`: always for sale. `below_zero`: imported as 0.
    `not_taxable`: marked so in the file, which is not read. `same_sku`: refused because another row has their SKU.
    """

    file: str
    currency: str
    location: str
    encoding: str
    rows: int
    imported: int
    skus_derived: int
    prices_changed: int
    prices_covered: int
    prices_covered_until: str | None
    tax_flags_kept: int
    stock_changed: int
    stock_left: int
    untracked: int
    below_zero: int
    not_taxable: int
    same_sku: int
    unused_columns: tuple[str, ...]
    refused: tuple[RowRefusal, ...]


@dataclass(slots=True)
class _Done:
    """Counts of the chunks written so far."""

    imported: int = 0
    derived: int = 0
    prices_changed: int = 0
    covered: int = 0
    covered_until: datetime | None = None
    flags_kept: int = 0
    stock_changed: int = 0
    stock_left: int = 0
    untracked: int = 0
    below_zero: int = 0
    not_taxable: int = 0

    def add(self, chunk: Sequence[ExportedVariant], prices: PriceChanges, stock_changed: int, stock_left: int) -> None:
        self.imported += len(chunk)
        self.derived += sum(variant.is_sku_derived for variant in chunk)
        self.prices_changed += prices.changed
        self.covered += prices.covered
        self.covered_until = max(filter(None, (self.covered_until, prices.covered_until)), default=None)
        self.flags_kept += prices.flags_kept
        self.stock_changed += stock_changed
        self.stock_left += stock_left
        self.untracked += sum(not variant.is_tracked for variant in chunk)
        self.below_zero += sum(variant.is_below_zero for variant in chunk)
        self.not_taxable += sum(not variant.is_taxable for variant in chunk)


def check_options(engine: Engine, options: ImportOptions) -> str | None:
    """Return a sentence about an option that is wrong for this database, or None; raise NotFound for a location."""
    with transaction(engine) as connection:
        if not options.create_location:
            require_locations(connection, {options.location})
        if options.stock_as_of is not None and connection.scalar(
            text("SELECT CAST(:moment AS timestamptz) > clock_timestamp()"), {"moment": options.stock_as_of}
        ):
            return f"--stock-as-of {options.stock_as_of.isoformat()} is yet to come: say when the file was written."
    return None


def import_export(
    engine: Engine, export: Export, *, file: str, options: ImportOptions, progress: Callable[[int], object]
) -> Report:
    """Write the export, one chunk in each transaction; call `progress` with the number of variants of each chunk.

    A second import of the same file writes nothing. A row whose stock change is refused is refused as a whole: its
    title and price are not changed either.
    """
    refused = list(export.refused)
    done = _Done()
    given = {variant.sku: variant.row for variant in export.variants if not variant.is_sku_derived}
    for start in range(0, len(export.variants), CHUNK):
        chunk: Sequence[ExportedVariant] = export.variants[start : start + CHUNK]
        size = len(chunk)
        while chunk:
            chunk, objections = _try_chunk(engine, chunk, options, given, done)
            refused += objections
        progress(size)
    return Report(
        file=file,
        currency=options.currency,
        location=options.location,
        encoding=export.encoding,
        rows=export.rows,
        imported=done.imported,
        skus_derived=done.derived,
        prices_changed=done.prices_changed,
        prices_covered=done.covered,
        prices_covered_until=done.covered_until.isoformat(timespec="seconds") if done.covered_until else None,
        tax_flags_kept=done.flags_kept,
        stock_changed=done.stock_changed,
        stock_left=done.stock_left,
        untracked=done.untracked,
        below_zero=done.below_zero,
        not_taxable=done.not_taxable,
        same_sku=export.same_sku,
        unused_columns=find_unused(export.columns),
        refused=tuple(sorted(refused, key=lambda refusal: refusal.row)),
    )


def _try_chunk(
    engine: Engine,
    chunk: Sequence[ExportedVariant],
    options: ImportOptions,
    given: dict[str, int],
    done: _Done,
) -> tuple[Sequence[ExportedVariant], list[RowRefusal]]:
    """Write a chunk, or return the rest of it to try again, and the refused rows with their reasons.

    Each attempt leaves out at least one row, so this ends.
    """
    try:
        with transaction(engine) as connection:
            named = _name_variants(connection, chunk)
            refused = [
                RowRefusal(variant.row, f"duplicate sku {variant.sku!r}: row {given[variant.sku]} has it already")
                for variant in named
                if variant.is_sku_derived and variant.sku in given
            ]
            if not refused:
                done.add(named, *_write_chunk(connection, named, options))
                return (), []
    except StockRefused as error:
        reasons = {objection.sku: sentence(*explain(objection)) for objection in reversed(error.objections)}
        refused = [
            RowRefusal(variant.row, reasons[variant.sku].rstrip(".")) for variant in named if variant.sku in reasons
        ]
    left_out = {refusal.row for refusal in refused}
    return tuple(variant for variant in chunk if variant.row not in left_out), refused


def _name_variants(connection: Connection, chunk: Sequence[ExportedVariant]) -> list[ExportedVariant]:
    """Set each derived SKU: the one that the variant already has, or a new unique one."""
    chosen = choose_skus(
        connection,
        [Derived(variant.origin, variant.title, variant.is_shared) for variant in chunk if variant.origin is not None],
    )
    return [variant if variant.origin is None else replace(variant, sku=chosen[variant.origin]) for variant in chunk]


def _write_chunk(
    connection: Connection, chunk: Sequence[ExportedVariant], options: ImportOptions
) -> tuple[PriceChanges, int, int]:
    """Return the price changes, how many stock levels changed, and how many variants kept theirs."""
    skus = [variant.sku for variant in chunk]
    stocked = find_stocked(connection, skus)
    upsert_variants(
        connection,
        [
            VariantRow(variant.sku, variant.title, variant.category, variant.backorder_policy, active=variant.active)
            for variant in chunk
        ],
    )
    origins = {variant.origin: variant.sku for variant in chunk if variant.origin is not None}
    if origins:
        remember_skus(connection, origins)
    prices = set_prices(
        connection,
        [PriceRow(variant.sku, options.currency, variant.price_minor, options.prices_include_tax) for variant in chunk],
    )
    rows: list[StockRow | StockCount] = [
        StockRow(variant.sku, options.location, variant.quantity)
        if options.stock_as_of is None
        else StockCount(variant.sku, options.location, variant.quantity, options.stock_as_of)
        for variant in chunk
        if options.stock_as_of is not None or variant.sku not in stocked
    ]
    changes = set_stock(connection, rows, following=skus, create_locations=options.create_location)
    return prices, sum(change.before != change.after for change in changes), len(chunk) - len(rows)
