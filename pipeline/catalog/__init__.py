"""The catalog: variants, prices, stock, tax rates, exchange rates.

Public modules: `allocation` (units of stock to lines), `batches` and `batches.forms` (what writers send),
`derived_skus`, `exchange_rates`, `locations`, `look_alikes` (the sku that may have been meant), `rate_leaps` (rates
that are not to be believed), `reading` (variants and their stock), `stock_rows` (all that may be said of stock),
`tax_rates`.
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily

# Imported when a name is used: phases need the public modules, and set neither prices nor stock.
if TYPE_CHECKING:
    from pipeline.catalog.stock import find_stocked, set_stock
    from pipeline.catalog.stock_rows import StockRow
    from pipeline.catalog.variants import PriceChanges, PriceRow, VariantRow, set_prices, upsert_variants
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "find_stocked": "stock",
            "set_stock": "stock",
            "StockRow": "stock_rows",
            "PriceChanges": "variants",
            "PriceRow": "variants",
            "VariantRow": "variants",
            "set_prices": "variants",
            "upsert_variants": "variants",
        },
    )

__all__ = [
    "PriceChanges",
    "PriceRow",
    "StockRow",
    "VariantRow",
    "find_stocked",
    "set_prices",
    "set_stock",
    "upsert_variants",
]
