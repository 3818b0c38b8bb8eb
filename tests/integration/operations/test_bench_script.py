"""What pgbench writes as a floor is what the engine writes: the same rows of each table, for each checkout."""

from sqlalchemy import Engine, text

from pipeline.settings import Settings
from scripts.benchmarks.copies import TABLES
from scripts.benchmarks.floor import CLIENTS, run_script, start_copies
from scripts.benchmarks.pgbench_script import Script
from scripts.benchmarks.workload import OWNER, fill_carts, stock_variants
from tests.support.harness import Works

VARIANTS = 3


def test_pgbench_writes_the_rows_of_a_purchase(engine: Engine, settings: Settings) -> None:
    # Given a purchase that the engine has made
    stock_variants(engine, VARIANTS, 100)
    works = Works(engine, settings)
    original = works.start(fill_carts(engine, 1, VARIANTS)[0], token="tok_ok", owner=OWNER)
    works.pump()
    works.close()
    counts = {table: count_rows(engine, table) for table in TABLES if not table.startswith("sandbox.")}

    # When
    with engine.begin() as connection:
        script = Script(connection, original, VARIANTS).write(2)
        start_copies(connection, original, 2 * CLIENTS)
    run_script(settings, script, 2)
    # Then
    times = 1 + 2 * CLIENTS
    expected = {table: count * times for table, count in counts.items()}
    expected["stock_movements"] = (counts["stock_movements"] - VARIANTS) * times + VARIANTS
    assert {table: count_rows(engine, table) for table in counts} == expected
    with engine.connect() as connection:
        states = connection.execute(
            text("""
                SELECT c.state, c.phase, p.status, o.state, v.state, count(*), count(DISTINCT o.number)
                FROM checkouts c JOIN payments p ON p.checkout_id = c.id JOIN orders o ON o.checkout_id = c.id
                JOIN carts v ON v.id = c.cart_id GROUP BY 1, 2, 3, 4, 5
            """)
        ).all()
        shelf = connection.execute(text("SELECT sum(on_hand), sum(reserved) FROM stock_levels")).one()
        calls = connection.execute(text("SELECT DISTINCT status FROM payment_operations")).scalars().all()
    assert states == [("completed", 7, "captured", "placed", "completed", times, times)]
    assert tuple(shelf) == (VARIANTS * 100 - times, 0)
    assert calls == ["succeeded"]


def count_rows(engine: Engine, table: str) -> int:
    """Return how many rows there are."""
    with engine.connect() as connection:
        count: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return count
