"""Prints what an import of products did, in sentences that say what to do."""

import typer

from scripts.catalog_desk import print_encoding
from scripts.product_import import Report


def print_report(report: Report) -> None:
    """Print the summary; the rows refused come after it."""
    for line in list_sentences(report):
        typer.echo(line)
    print_encoding(report.encoding, "titles")


def list_sentences(report: Report) -> list[str]:
    """Return the sentences of the summary, those with nothing to say left out."""
    told = [
        f"{report.file}: {_count(report.rows, 'row')}, {_count(report.imported, 'variant')} imported at"
        f" {report.location}, {_count(len(report.refused), 'row')} refused",
        f"{_count(report.prices_changed, 'price')} and {_count(report.stock_changed, 'stock level')} changed",
    ]
    if report.skus_derived:
        told.append(f"{_count(report.skus_derived, 'sku')} derived from handle and options")
    if report.same_sku:
        told.append(
            f"{_count(report.same_sku, 'row')} refused for a sku that another row has: give each variant one of its"
            " own, or import with --sku-from handle+options"
        )
    if report.stock_left:
        told.append(
            f"{_count(report.stock_left, 'variant')} had stock already, and kept it, since units may have been sold:"
            " --stock-as-of TIME sets it to the file's, less what was sold since TIME"
        )
    if report.prices_covered:
        told.append(
            f"{_count(report.prices_covered, 'price')} with an end stayed in force, until {report.prices_covered_until}"
            " at the latest: the file's prices are valid after that"
        )
    if report.tax_flags_kept:
        told.append(
            f"{_count(report.tax_flags_kept, 'variant')} kept prices that include tax otherwise than was said: only"
            " variants without a price take it from the command"
        )
    if report.untracked:
        told.append(f"{_count(report.untracked, 'variant')} not tracked by Shopify: always for sale")
    if report.below_zero:
        told.append(f"{_count(report.below_zero, 'quantity', 'quantities')} below zero taken as 0 units")
    if report.not_taxable:
        told.append(
            f"{_count(report.not_taxable, 'variant')} marked as not taxable, which is not read: give them a category"
            " with a tax rate of 0"
        )
    if report.unused_columns:
        told.append(f"Columns that are not read: {', '.join(report.unused_columns)}")
    return told


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
