"""Names of the schema that queries are made from.

They are not taken from the tables, which need SQLAlchemy's mapper: 60 modules, a tenth of a worker's start. Only
migrations use it.
"""

from typing import Final

#: The columns that say what a promotion does, for every query that reads one: those of `PromotionRecord` without the
#: ones that say whether it is valid and applies by itself. By name, and not `*`: a column of the next release would
#: change the result of a prepared statement, which PostgreSQL refuses.
PROMOTION_COLUMNS: Final = (
    *("id", "title", "kind", "percent", "amount_minor", "currency", "minimum_minor", "skus", "categories"),
    *("priority", "combines"),
)

#: The schema of the sandbox bank's tables.
SANDBOX_SCHEMA: Final = "sandbox"

#: The tables with a partition for each month, by the ids of their checkouts, and the schema of the partitions.
PARTITIONED: Final = ("events", "stock_movements")
PARTITIONS_SCHEMA: Final = "partitions"
