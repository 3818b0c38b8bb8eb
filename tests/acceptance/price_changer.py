"""A process that changes everything that prices depend on, and tries to edit every cart.

`python -m tests.acceptance.price_changer DATABASE_URL SEED` prints `ready`, makes changes until its input ends, then
edits every cart once more and prints how often it changed what. Every edit is recorded in `price_changer.edits`, a
successful one in its own transaction: so the journal has the edits in their true order.
"""

import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg import Connection, IsolationLevel

#: Each edits its own carts, so that only a checkout can block it.
EDITORS: Final = 3
PAUSE_SECONDS: Final = (0.002, 0.02)
#: How old the snapshot of a slow editor gets before it writes.
OLD_SECONDS: Final = 0.03

CONTENT: Final[LiteralString] = """
    jsonb_build_object(
        'address', shipping_address, 'shipping', shipping_minor, 'codes', to_jsonb(coupon_codes),
        'lines', (SELECT jsonb_agg(jsonb_build_array(l.line, l.sku, l.quantity) ORDER BY l.line)
                  FROM cart_lines l WHERE l.cart_id = c.id))
"""

JOURNAL: Final[LiteralString] = f"""
    CREATE SCHEMA price_changer;
    CREATE TABLE price_changer.edits (
        id bigint GENERATED ALWAYS AS IDENTITY, cart_id uuid, kind text, seen text, outcome text,
        lock_version integer, held boolean, content jsonb);
    INSERT INTO price_changer.edits (cart_id, kind, seen, outcome, lock_version, held, content)
    SELECT id, 'filled', 'before', 'through', lock_version, false, {CONTENT} FROM carts c
"""

SEEN: Final[LiteralString] = """
    SELECT CASE WHEN count(*) = 0 THEN 'before' WHEN bool_or(ended_at IS NULL) THEN 'active' ELSE 'ended' END
    FROM checkouts WHERE cart_id = %s
"""

NOTE: Final[LiteralString] = f"""
    INSERT INTO price_changer.edits (cart_id, kind, seen, outcome, lock_version, held, content)
    SELECT id, %(kind)s, %(seen)s, 'through', lock_version,
           EXISTS (SELECT FROM checkouts WHERE cart_id = c.id AND ended_at IS NULL), {CONTENT}
    FROM carts c WHERE id = %(cart)s
"""

NOTE_REFUSAL: Final[LiteralString] = """
    INSERT INTO price_changer.edits (cart_id, kind, seen, outcome) VALUES (%(cart)s, %(kind)s, %(seen)s, %(outcome)s)
"""

EDITS: Final[dict[str, tuple[LiteralString, ...]]] = {
    "quantity": ("UPDATE cart_lines SET quantity = 1 + %(number)s %% 4 WHERE cart_id = %(cart)s AND line = 1",),
    "line": (
        "DELETE FROM cart_lines WHERE cart_id = %(cart)s AND line = 2",
        "INSERT INTO cart_lines (cart_id, line, sku, quantity)"
        " VALUES (%(cart)s, 2, 'ware-' || %(number)s %% 12, 1 + %(number)s %% 3)",
    ),
    "address": (
        "UPDATE carts SET shipping_address = shipping_address || jsonb_build_object('line1', %(number)s::text)"
        " WHERE id = %(cart)s",
    ),
    "codes": (
        "UPDATE carts SET coupon_codes = CASE %(number)s %% 3 WHEN 0 THEN '{}'::text[] ELSE '{TENTH}' END"
        " WHERE id = %(cart)s",
    ),
    "shipping": ("UPDATE carts SET shipping_minor = 300 + %(number)s %% 500 WHERE id = %(cart)s",),
}

CHANGES: Final[dict[str, LiteralString]] = {
    "prices": "UPDATE prices SET amount_minor = 100 + (id * 7919 + %(number)s) %% 4900",
    "tax basis": "UPDATE prices SET tax_included = (id + %(number)s) %% 2 = 0",
    "tax rates": "UPDATE tax_rates SET rate = ((id * 31 + %(number)s) %% 2500) / 10000.0",
    "exchange rates": "UPDATE exchange_rates SET rate = 0.8 + (%(number)s %% 7000) / 10000.0",
    "new exchange rate": "INSERT INTO exchange_rates (base, quote, rate, source, observed_at)"
    " VALUES ('EUR', 'USD', 0.8 + (%(number)s %% 7000) / 10000.0, 'price_changer', clock_timestamp())",
    "promotions": "UPDATE promotions SET percent = 1 + (id + %(number)s) %% 40, title = 'Now ' || %(number)s,"
    " amount_minor = 50 + (id * 17 + %(number)s) %% 700, priority = (id * 13 + %(number)s) %% 100",
    "validity": "UPDATE promotions SET ends_at = CASE WHEN (id + %(number)s) %% 25 = 0 THEN now() END",
    "activity": "UPDATE promotions SET active = (id + %(number)s) %% 25 <> 0",
    "titles": "UPDATE variants SET title = 'Ware ' || (id + %(number)s)",
    "categories": "UPDATE variants SET category = CASE (id + %(number)s) %% 2 WHEN 0 THEN 'book' END",
}


class Editor(threading.Thread):
    """Tries to edit its carts at random moments."""

    def __init__(self, url: str, carts: Sequence[UUID], seed: str, stop: threading.Event) -> None:
        """Edit these carts until `stop`."""
        super().__init__(daemon=True)
        self._url, self._carts, self._ending = url, carts, stop
        self._random = random.Random(seed)
        self.error: BaseException | None = None

    def run(self) -> None:
        """Edit at random, then every cart once more."""
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while not self._ending.wait(self._random.uniform(*PAUSE_SECONDS)):
                    self._edit(connection, self._random.choice(self._carts), self._random.choice(list(EDITS)))
                for cart in self._carts:
                    self._edit(connection, cart, "quantity")
        except psycopg.Error as error:
            self.error = error

    def _edit(self, connection: Connection[Any], cart: UUID, kind: str) -> None:
        found = connection.execute(SEEN, (cart,)).fetchone()
        assert found is not None
        facts = {"cart": cart, "kind": kind, "seen": found[0], "number": self._random.randrange(1_000_000)}
        slow = self._random.random() < 0.25
        connection.isolation_level = IsolationLevel.REPEATABLE_READ if slow else None
        try:
            with connection.transaction():
                if slow:
                    connection.execute("SELECT FROM carts LIMIT 1")
                    self._ending.wait(self._random.uniform(0, OLD_SECONDS))
                for statement in EDITS[kind]:
                    connection.execute(statement, facts)
                connection.execute(NOTE, facts)
        except psycopg.Error as error:
            connection.isolation_level = None
            connection.execute(NOTE_REFUSAL, facts | {"outcome": error.sqlstate})


def change_prices(url: str, seed: str, stop: threading.Event) -> Counter[str]:
    """Change rows that prices depend on, at random moments until `stop`; return the counts by kind."""
    rng, done = random.Random(f"{seed}-terms"), Counter[str]()
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.wait(rng.uniform(*PAUSE_SECONDS)):
            what = rng.choice(list(CHANGES))
            connection.execute(CHANGES[what], {"number": rng.randrange(1_000_000)})
            done[what] += 1
    return done


def main(url: str, seed: str) -> None:
    """Change prices and carts until the input ends; fail when an editor failed."""
    stop = threading.Event()
    with psycopg.connect(url, autocommit=True) as connection:
        carts = [row[0] for row in connection.execute("SELECT id FROM carts ORDER BY id")]
    editors = [Editor(url, carts[at::EDITORS], f"{seed}-{at}", stop) for at in range(EDITORS)]
    for editor in editors:
        editor.start()

    def wait_for_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    done = change_prices(url, seed, stop)
    for editor in editors:
        editor.join()
        if editor.error is not None:
            raise editor.error
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    main(*sys.argv[1:])
