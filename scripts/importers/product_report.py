"""Prints the result of a product import, with sentences that say what to do."""

from dataclasses import asdict
from typing import Final

from pipeline.errors.wording import count, fill, quote
from scripts.importers.catalog_command import print_encoding
from scripts.importers.product_import import Report
from scripts.terminal.output import say

#: The sentence for each number of the report that is not zero.
NOTES: Final = (
    ("skus_derived", "{skus_derived:sku|skus} derived from handle and options"),
    (
        "same_sku",
        "{same_sku:row|rows} refused for a sku that another row has: give each variant one of its own, or import with"
        " --sku-from handle+options",
    ),
    (
        "stock_left",
        "{stock_left:variant|variants} had stock already, and kept it, since units may have been sold: --stock-as-of"
        " TIME sets it to the file's, less what was sold since TIME",
    ),
    (
        "prices_covered",
        "{prices_covered:price|prices} with an end stayed in force, until {prices_covered_until} at the latest: the"
        " file's prices are valid after that",
    ),
    (
        "tax_flags_kept",
        "{tax_flags_kept:variant|variants} kept prices that include tax otherwise than was said: only variants without"
        " a price take it from the command",
    ),
    ("untracked", "{untracked:variant|variants} not tracked by Shopify: always for sale"),
    ("below_zero", "{below_zero:quantity|quantities} below zero taken as 0 units"),
    (
        "not_taxable",
        "{not_taxable:variant|variants} marked as not taxable, which is not read: give them a category with a tax rate"
        " of 0",
    ),
)


def print_report(report: Report) -> None:
    """Print the summary; the refused rows follow separately."""
    refused = count(len(report.refused), "row", "rows")
    facts = asdict(report)
    summary = "{file}: {rows:row|rows}, {imported:variant|variants} imported at {location}, "
    say(fill(summary, facts) + f"{refused} refused")
    say(fill("{prices_changed:price|prices} and {stock_changed:stock level|stock levels} changed", facts))
    for name, note in NOTES:
        if facts[name]:
            say(fill(note, facts))
    if report.unused_columns:
        say(f"Columns that are not read: {', '.join(quote(name) for name in report.unused_columns)}")
    print_encoding(report.encoding, "titles")
