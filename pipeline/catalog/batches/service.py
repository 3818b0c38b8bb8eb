"""The facade over what writes the catalog: one transaction for each batch, once for each idempotency key."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, assert_never
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from models.states import CatalogKind
from pipeline.catalog.batches.forms import AnyBatch, PriceBatch, StockBatch, TransferBatch, VariantBatch
from pipeline.catalog.batches.results import Rows, open_rows
from pipeline.catalog.batches.stock import change_stock, transfer_stock
from pipeline.catalog.batches.variants import write_prices, write_variants
from pipeline.database import TransactionRunner
from pipeline.errors import CheckoutError, Code, Conflict

#: How long a writer of many batches pauses after each, as a share of the time that it took, which is 120 ms for a
#: thousand rows: else sellers would wait for its processor.
PAUSE_SHARE: Final = 3.0

KNOWN: Final = text("""
    SELECT id, fingerprint, results FROM catalog_changes WHERE owner = :owner AND idempotency_key = :key
""")

# Two requests with one key at once: the second one waits here for the first one, and is then a repeat.
LOCK_KEY: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:owner || E'\\n' || :key, 25))")

WRITE: Final = text("""
    INSERT INTO catalog_changes (id, owner, kind, actor, reason, reference, idempotency_key, fingerprint, results)
    VALUES (:id, :owner, :kind, :actor, :reason, :reference, :key, :fingerprint, CAST(:results AS jsonb))
""")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the catalog: by whom, and why."""

    id: UUID
    owner: str
    actor: str
    reason: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class WrittenBatch:
    """What became of a batch. `created` is False for a repeat of its key. Nothing is stored when no row was done.

    `results` has one object for each row, in their order: `row`, `state` (`done` or `refused`), and facts or `failure`.
    `refusal` is that of the first refused row; None for a repeat.
    """

    change_id: UUID
    results: Sequence[dict[str, Any]]
    created: bool
    refusal: CheckoutError | None = None

    @property
    def done(self) -> int:
        """How many rows were done."""
        return sum(each["state"] == "done" for each in self.results)


class CatalogService:
    """Writes batches."""

    def __init__(self, transactions: TransactionRunner) -> None:
        """Take the parts."""
        self._transactions = transactions

    def write(self, batch: AnyBatch, *, owner: str, actor: str, idempotency_key: str) -> WrittenBatch:
        """Do every row of a batch that can be done, and refuse the others, once for each key of the owner.

        A batch of which no row was done changes and stores nothing: its key may be sent again. The same key with
        another batch raises Conflict. `actor` is `key:<id>` or `operator:<name>`.
        """
        return self._transactions.run(
            lambda connection: write_batch(connection, batch, owner=owner, actor=actor, key=idempotency_key)
        )


def write_batch(connection: Connection, batch: AnyBatch, *, owner: str, actor: str, key: str) -> WrittenBatch:
    """Write a batch, as `CatalogService.write` does, in this transaction."""
    connection.execute(LOCK_KEY, {"owner": owner, "key": key})
    asked = _fingerprint(batch)
    known = connection.execute(KNOWN, {"owner": owner, "key": key}).one_or_none()
    if known is not None:
        if known.fingerprint != asked:
            raise Conflict(Code.KEY_CONFLICT, key=key)
        return WrittenBatch(known.id, known.results, created=False)
    change_id = uuid7()
    kind, rows = _do(connection, batch, change_id)
    results = rows.describe()
    refusal = rows.refused[min(rows.refused)] if rows.refused else None
    if rows.done:
        about = Change(change_id, owner, actor, batch.reason, batch.reference)
        record_change(connection, about, kind, results, key=key, fingerprint=asked)
    return WrittenBatch(change_id, results, created=True, refusal=refusal)


def record_change(
    connection: Connection,
    change: Change,
    kind: CatalogKind,
    results: Sequence[Mapping[str, Any]],
    *,
    key: str,
    fingerprint: str,
) -> None:
    """Record a change of the catalog; the movements of its stock name its id."""
    connection.execute(
        WRITE,
        {
            **asdict(change),
            "kind": kind.value,
            "key": key,
            "fingerprint": fingerprint,
            "results": json.dumps(results, default=str),
        },
    )


def _do(connection: Connection, batch: AnyBatch, change_id: UUID) -> tuple[CatalogKind, Rows[Any]]:
    rows: Rows[Any] = open_rows(batch.all_rows)
    match batch:
        case VariantBatch():
            write_variants(connection, rows, change_id)
            return CatalogKind.VARIANTS, rows
        case PriceBatch():
            write_prices(connection, rows)
            return CatalogKind.PRICES, rows
        case StockBatch():
            change_stock(connection, rows, change_id, create_locations=batch.create_locations)
            return CatalogKind.STOCK, rows
        case TransferBatch():
            transfer_stock(connection, rows, change_id, create_locations=batch.create_locations)
            return CatalogKind.TRANSFERS, rows
        case _:
            assert_never(batch)


def _fingerprint(batch: AnyBatch) -> str:
    """Return a hash of what a batch asks for: its kind, and every row, the refused ones by their reasons."""
    rows = [each.model_dump(mode="json") if hasattr(each, "model_dump") else each.reason for each in batch.all_rows]
    asked = {"kind": type(batch).__name__, **batch.model_dump(mode="json", exclude={"rows"}), "rows": rows}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
