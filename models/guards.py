"""The promises that triggers keep, whoever the client is, `psql` included.

Refusals carry SQLSTATEs of their own: CK001 the cart is locked, CK002 the row is history, CK003 no such transition.
What is written once is in models/history.py.
`install` is the form of today; migrations keep the form of their day.
"""

from typing import Final

from sqlalchemy import Connection

from models import history
from models.identifiers.sql import NORMALIZE_NAMES, NORMALIZED, build_normalizer
from models.states import ACTIVE_SQL, TRANSITIONS
from models.tables import Base

CART_LOCKED: Final = "CK001"
APPEND_ONLY: Final = "CK002"
BAD_TRANSITION: Final = "CK003"

# VOLATILE, so that the second statement sees what committed while the first one waited for the row. The row of a cart
# that is itself written has been locked by PostgreSQL before this is called.
CART_GUARD: Final = f"""
CREATE FUNCTION cart_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    touched uuid[];
    holder record;
    sold record;
BEGIN
    IF TG_TABLE_NAME = 'carts' THEN
        SELECT id, cart_id, expires_at INTO holder FROM checkouts
            WHERE cart_id = OLD.id AND state IN ({ACTIVE_SQL});
    ELSE
        touched := CASE TG_OP WHEN 'INSERT' THEN ARRAY[NEW.cart_id] WHEN 'DELETE' THEN ARRAY[OLD.cart_id]
                   ELSE ARRAY[OLD.cart_id, NEW.cart_id] END;
        PERFORM 1 FROM carts WHERE id = ANY(touched) ORDER BY id FOR NO KEY UPDATE;
        SELECT id, cart_id, expires_at INTO holder FROM checkouts
            WHERE cart_id = ANY(touched) AND state IN ({ACTIVE_SQL}) LIMIT 1;
    END IF;
    IF FOUND THEN
        -- The one change let through: a phase completes the cart of the order it has just placed.
        -- Nested: a line has no state, and PL/pgSQL looks all the fields of an expression up.
        IF TG_TABLE_NAME = 'carts' AND TG_OP = 'UPDATE' THEN
            IF OLD.state = 'open' AND NEW.state = 'completed' THEN
                sold := OLD;
                sold.state := NEW.state;
                sold.updated_at := NEW.updated_at;
                IF sold IS NOT DISTINCT FROM NEW
                   AND EXISTS (SELECT FROM orders WHERE checkout_id = holder.id AND state = 'placed') THEN
                    RETURN NEW;
                END IF;
            END IF;
        END IF;
        RAISE EXCEPTION USING ERRCODE = '{CART_LOCKED}',
            MESSAGE = format('Cart %s is locked by checkout %s, which expires at %s.',
                             holder.cart_id, holder.id, holder.expires_at),
            DETAIL = jsonb_build_object('cart_id', holder.cart_id, 'checkout_id', holder.id,
                                        'expires_at', holder.expires_at)::text,
            HINT = 'Wait until the checkout has ended, or cancel it; then change the cart.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$
"""

CART_LINES_GUARD: Final = f"""
CREATE FUNCTION cart_lines_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF EXISTS (SELECT FROM checkouts WHERE state IN ({ACTIVE_SQL})) THEN
        RAISE EXCEPTION USING ERRCODE = '{CART_LOCKED}', MESSAGE = 'Some carts are locked by checkouts.',
            HINT = 'Delete the lines of single carts instead.';
    END IF;
    RETURN NULL;
END $$
"""

APPEND_ONLY_GUARD: Final = f"""
CREATE FUNCTION append_only_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = '{APPEND_ONLY}',
        MESSAGE = format('Rows of %s are history: they are neither changed nor removed.', TG_TABLE_NAME),
        HINT = 'Write a new row that corrects it.';
END $$
"""

PRICE_LOCK_GUARD: Final = f"""
CREATE FUNCTION price_lock_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.voided_at IS NULL AND NEW.voided_at IS NOT NULL
       AND to_jsonb(OLD) - 'voided_at' = to_jsonb(NEW) - 'voided_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = '{APPEND_ONLY}',
        MESSAGE = 'A price lock is frozen: it may be voided once, and nothing else of it may change.',
        HINT = 'Void it and start a new checkout.';
END $$
"""

_PAIRS = ", ".join(f"('{old}', '{new}')" for old, news in TRANSITIONS.items() for new in sorted(news))

CHECKOUT_GUARD: Final = f"""
CREATE FUNCTION checkout_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN ({_PAIRS}) THEN
        RAISE EXCEPTION USING ERRCODE = '{BAD_TRANSITION}',
            MESSAGE = format('Checkout %s is %s and cannot become %s.', OLD.id, OLD.state, NEW.state);
    END IF;
    IF NEW.fence < OLD.fence OR (OLD.pivot_at IS NOT NULL AND NEW.pivot_at IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = '{BAD_TRANSITION}',
            MESSAGE = format('The fence and the pivot of checkout %s never go back.', OLD.id);
    END IF;
    RETURN NEW;
END $$
"""

FUNCTIONS: Final = {
    "normalize_names": NORMALIZE_NAMES,
    "cart_guard": CART_GUARD,
    "cart_lines_guard": CART_LINES_GUARD,
    "append_only_guard": APPEND_ONLY_GUARD,
    "price_lock_guard": PRICE_LOCK_GUARD,
    "checkout_guard": CHECKOUT_GUARD,
    **history.FUNCTIONS,
}

# Where the tables are, and never where a session says: a temporary table, or one of another schema, with the name of
# one of ours would be looked into instead. Unless it is named, `pg_temp` comes first. The schema is the one in which
# the functions have just been made: `public`, unless the owner's connection says otherwise.
FIX_PATHS: Final = f"""
DO $$ DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[{", ".join(f"'{name}'" for name in FUNCTIONS)}] LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
    END LOOP;
END $$
"""

APPEND_ONLY_TABLES: Final = (
    "checkout_lines",
    "events",
    "order_lines",
    "price_lock_lines",
    "request_keys",
    "stock_movements",
)

TRIGGERS: Final = (
    "CREATE TRIGGER cart_guard BEFORE UPDATE OR DELETE ON carts FOR EACH ROW EXECUTE FUNCTION cart_guard()",
    "CREATE TRIGGER cart_guard BEFORE INSERT OR UPDATE OR DELETE ON cart_lines"
    " FOR EACH ROW EXECUTE FUNCTION cart_guard()",
    "CREATE TRIGGER cart_lines_guard BEFORE TRUNCATE ON cart_lines"
    " FOR EACH STATEMENT EXECUTE FUNCTION cart_lines_guard()",
    "CREATE TRIGGER price_lock_guard BEFORE UPDATE ON price_locks FOR EACH ROW EXECUTE FUNCTION price_lock_guard()",
    "CREATE TRIGGER checkout_guard BEFORE UPDATE ON checkouts FOR EACH ROW"
    " WHEN (OLD.state <> NEW.state OR OLD.fence <> NEW.fence OR OLD.pivot_at IS DISTINCT FROM NEW.pivot_at)"
    " EXECUTE FUNCTION checkout_guard()",
    *(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION append_only_guard()"
        for table in APPEND_ONLY_TABLES
    ),
    *(
        f"CREATE TRIGGER keep_{table} BEFORE TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()"
        for table in APPEND_ONLY_TABLES
    ),
    *history.TRIGGERS,
    *(
        f"CREATE TRIGGER normalize_names BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION normalize_names()"
        for table, what in NORMALIZED.items()
    ),
)


def install(connection: Connection) -> None:
    """Create every table, function and trigger in an empty database."""
    connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS sandbox")
    Base.metadata.create_all(connection)
    for statement in (build_normalizer(), *FUNCTIONS.values(), FIX_PATHS, *TRIGGERS):
        connection.exec_driver_sql(statement.replace("%", "%%"))
