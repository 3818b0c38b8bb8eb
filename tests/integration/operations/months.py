"""A database of a test's own, whose partitions it may make and detach, and purchases that began in a month."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, text
from uuid_utils.compat import uuid7

from pipeline.audit import audit
from pipeline.database import connect_engine
from pipeline.database.temporary import open_database
from pipeline.operations.partitions import MissingPartition, find_missing, make_partitions
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works, build_works

#: Long ago, so that no clock of a test run comes near.
MARCH, APRIL, MAY = date(2024, 3, 1), date(2024, 4, 1), date(2024, 5, 1)


@dataclass(frozen=True, slots=True)
class Yard:
    """An engine on a database of its own."""

    engine: Engine
    settings: Settings
    works: Works
    shelf: Shelf
    patch: pytest.MonkeyPatch

    def start_in(self, month: date, *, token: str | None = "tok_ok", lines: int = 1) -> UUID:
        """Start a checkout whose id is of the middle of a month."""
        self.patch.setattr("pipeline.intake.starting.uuid7", lambda: make_id(month))
        return self.works.start(self.shelf.add_cart(("cup", lines)), token=token)

    def buy_in(self, *months: date) -> list[UUID]:
        """Buy one cup in each of these months, with all its phases."""
        ids = [self.start_in(month) for month in months]
        self.works.pump()
        assert self.works.states(ids) == ["completed"] * len(ids)
        return ids

    def make(self, *months: date) -> None:
        """Make the partitions of these months."""
        missing = [MissingPartition(table, month) for month in months for table in ("events", "stock_movements")]
        with self.engine.begin() as connection:
            make_partitions(connection, missing)

    def make_missing(self) -> int:
        """Make what is missing; return how many rows were moved."""
        with self.engine.begin() as connection:
            return sum(each.moved for each in make_partitions(connection, find_missing(connection, 3)))

    def audit(self) -> list[str]:
        """Return the names of the violated invariants."""
        with self.engine.connect() as connection:
            return [each.invariant for each in audit(connection, self.settings)]


def make_id(month: date) -> UUID:
    """Return an id of the middle of a month."""
    middle = datetime(month.year, month.month, 15, tzinfo=UTC)
    return uuid7(nanoseconds=int(middle.timestamp() * 1e9))


def count_in(connection: Connection, table: str, checkout_id: UUID) -> dict[str, int]:
    """Return how many rows of a checkout are in each partition."""
    rows = connection.execute(
        text(f"SELECT tableoid::regclass::text, count(*) FROM {table} WHERE checkout_id = :id GROUP BY 1"),
        {"id": checkout_id},
    )
    return {name.removeprefix("partitions."): count for name, count in rows}


@contextmanager
def open_yard(settings: Settings, patch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """Yield an engine on an empty database with the schema, and ten cups."""
    with open_database(settings.database_url.get_secret_value(), "partitions") as url:
        own = settings.model_copy(update={"database_url": SecretStr(url)}).with_gateway_options(database_url=None)
        engine = connect_engine(own, application_name="partitions", pool_size=6)
        try:
            shelf = Shelf(engine)
            shelf.add_variant("cup", stock=10, price_minor=250)
            with build_works(engine, own) as works:
                yield Yard(engine, own, works, shelf, patch)
        finally:
            engine.dispose()
