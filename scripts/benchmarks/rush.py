"""Twenty thousand buyers check out at the same moment, and there are five hundred units of one variant."""

from typing import Final

from sqlalchemy import text

from scripts.benchmarks.runner import STALL_SECONDS, BenchmarkRunner, Figures
from scripts.benchmarks.workload import fill_carts, read_makespan, start_all, stock_variants
from scripts.environments.command_errors import CommandError

BUYERS: Final = 20_000
UNITS: Final = 500

# All requests are in the queue when the first phase first commits: a buyer's wait counts from there.
# The phase that reserves is named: the chain does not say which one it is.
OUTCOME: Final = text("""
    WITH began AS (SELECT min(at) AS at FROM events WHERE kind = 'checkout.phase_completed')
    SELECT (SELECT count(*) FROM checkouts WHERE state = 'completed') AS sold,
           (SELECT count(*) FROM checkouts WHERE state = 'failed' AND failure_code = 'out_of_stock') AS refused,
           (SELECT extract(epoch FROM max(e.at) - began.at) FROM events e
            WHERE e.phase = 'inventory_reservation' AND e.kind = 'checkout.phase_completed') AS sold_out,
           (SELECT extract(epoch FROM max(c.ended_at) - began.at) FROM checkouts c
            WHERE c.state = 'failed') AS last_refusal,
           (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM c.ended_at - began.at))
            FROM checkouts c WHERE c.state = 'failed') AS refusal_p99
    FROM began
""")


def measure_rush(runner: BenchmarkRunner) -> Figures:
    """Yield the times to sold out and to the last refusal; check that exactly all units are sold."""
    with runner.open(redeliver_after_seconds=STALL_SECONDS) as own:
        components = own.build()
        stock_variants(components.database, 1, UNITS)
        sends = start_all(components, fill_carts(components.database, BUYERS, 1))
        own.serve()
        components.publisher.send(sends)
        runner.wait(lambda: read_makespan(components.database))
        with components.database.connect() as connection:
            rush = connection.execute(OUTCOME).one()
        if (rush.sold, rush.refused) != (UNITS, BUYERS - UNITS):
            raise CommandError(f"{rush.sold} were sold and {rush.refused} refused: there are {UNITS} units.")
        yield "rush_sold_out_seconds", float(rush.sold_out)
        yield "rush_last_refusal_seconds", float(rush.last_refusal)
        yield "rush_refusal_p99_seconds", float(rush.refusal_p99)
