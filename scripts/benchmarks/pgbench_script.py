"""The script that pgbench runs: the rows of a purchase, in seven transactions, copied from one of the engine's."""

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import OperationKind
from pipeline.saga import get_chain
from scripts.benchmarks.copies import TABLES, read_columns, vary

#: Each client counts its own checkouts, from its number times their count.
COUNT: Final = "\\set i :i + 1\n\\set n :client_id * {each} + :i\n"
NUMBER: Final = "CAST(:n AS bigint)"
ID: Final = vary("checkouts", "id", "uuid", "", NUMBER)
CART_ID: Final = vary("carts", "id", "uuid", "", NUMBER)

WAIT: Final = f"""UPDATE checkouts SET due_at = now() + interval '6 s', due_reason = 'scheduled', updated_at = now()
    WHERE id = {ID}"""
PIVOT: Final = f"""UPDATE checkouts SET due_at = now() + interval '6 s', due_reason = 'scheduled', pivot_at = now(),
    updated_at = now() WHERE id = {ID}"""
MOVE: Final = f"""UPDATE checkouts SET phase = {{number}}, sent_at = now(), due_at = now() + interval '5 s',
    due_reason = 'stalled', updated_at = now() WHERE id = {ID} AND state = 'running' AND phase = {{number}} - 1"""
COMPLETE: Final = f"""UPDATE checkouts SET state = 'completed', phase = {{number}}, sent_at = NULL, due_at = NULL,
    due_reason = NULL, updated_at = now(), ended_at = now()
    WHERE id = {ID} AND state = 'running' AND phase = {{number}} - 1"""
PAY: Final = f"UPDATE payments SET status = '{{status}}', updated_at = now() WHERE checkout_id = {ID}"
SETTLE: Final = f"""UPDATE payment_operations SET status = 'succeeded', leased_until = NULL, updated_at = now()
    WHERE checkout_id = {ID} AND kind = '{{kind}}' AND n = 1"""
RESERVE: Final = "UPDATE stock_levels SET reserved = reserved + 1 WHERE variant_id = {variant}"
SELL: Final = "UPDATE stock_levels SET on_hand = on_hand - 1, reserved = reserved - 1 WHERE variant_id = {variant}"
SOLD: Final = f"UPDATE reservations SET state = 'committed' WHERE checkout_id = {ID}"
REDEEM: Final = "UPDATE coupons SET used = used + 1 WHERE code = 'BENCH'"
PLACE: Final = f"""UPDATE orders SET state = 'placed', number = nextval('order_numbers'), placed_at = now()
    WHERE checkout_id = {ID}"""
CLOSE: Final = f"UPDATE carts SET state = 'completed', updated_at = now() WHERE id = {CART_ID}"

#: Values of a new row that differ from its final ones.
INITIAL: Final = {
    ("reservations", "state"): "'held'",
    ("payments", "status"): "'new'",
    ("payment_operations", "status"): "'intended'",
    ("orders", "state"): "'pending'",
    ("orders", "number"): "NULL",
    ("orders", "placed_at"): "NULL",
}


class Script:
    """Writes statements after the example of one completed checkout."""

    def __init__(self, connection: Connection, original: UUID, variants: int) -> None:
        """Set the example, and the number of variants that its copies are spread over."""
        self._connection = connection
        self._original = original
        first = connection.execute(text("SELECT min(id) FROM variants")).scalar_one()
        self._variant = f"{first} + {NUMBER} * 7919 % {variants}"

    def write(self, each: int) -> str:
        """Return the script for clients that have `each` checkouts to write."""
        parts = [COUNT.format(each=each)]
        for phase in get_chain():
            statements = [*self._work(phase.name), *self._insert("events", f"phase = '{phase.name}'")]
            if phase.number < len(get_chain()):
                statements.append(MOVE.format(number=phase.number))
            else:
                end = COMPLETE.format(number=phase.number)
                statements += [end, *self._insert("events", "kind IN ('order.placed', 'checkout.completed')")]
            parts += ["BEGIN;", *(f"{' '.join(statement.split())};" for statement in statements), "COMMIT;"]
        return "\n".join(parts) + "\n"

    def _work(self, phase: str) -> list[str]:
        # By name: the floor is what these seven write, and a phase that it does not know is an error.
        match phase:
            case "cart_validation":
                return self._insert("checkout_lines")
            case "inventory_reservation":
                reserve = RESERVE.format(variant=self._variant)
                return [*self._insert("reservations"), reserve, *self._insert("stock_movements", "kind = 'reserve'")]
            case "price_lock":
                locks = [*self._insert("price_locks"), *self._insert("price_lock_lines")]
                return [*locks, *self._insert("redemptions"), REDEEM]
            case "payment_authorization":
                opened = [*self._insert("payments"), *self._call(OperationKind.OPEN), PAY.format(status="open")]
                return [*opened, *self._call(OperationKind.AUTHORIZE), PAY.format(status="authorized")]
            case "order_creation":
                return [*self._insert("orders"), *self._insert("order_lines")]
            case "payment_capture":
                return [*self._call(OperationKind.CAPTURE, wait=PIVOT), PAY.format(status="captured")]
            case "stock_commit":
                sold = [SOLD, SELL.format(variant=self._variant), *self._insert("stock_movements", "kind = 'sell'")]
                return [*sold, PLACE, CLOSE]
            case _:
                raise ValueError(f"There is no phase {phase}.")

    def _call(self, kind: OperationKind, wait: str = WAIT) -> list[str]:
        """Return the statements of a gateway call: schedule the checkout, write the intent, write its result."""
        return [wait, *self._insert("payment_operations", f"kind = '{kind}'"), SETTLE.format(kind=kind)]

    def _insert(self, table: str, which: str = "true") -> list[str]:
        """Return an INSERT for each row of the example."""
        columns = read_columns(self._connection, table)
        read = ", ".join(f"quote_nullable(CAST({column} AS text)) AS {column}" for column, _ in columns)
        rows = self._connection.execute(
            text(f"SELECT {read} FROM {table} WHERE {TABLES[table]} AND {which}"), {"id": self._original}
        )
        names = ", ".join(column for column, _ in columns)
        return [
            f"INSERT INTO {table} ({names}) VALUES ("
            + ", ".join(
                self._value(table, column, kind, row) for (column, kind), row in zip(columns, found, strict=True)
            )
            + ")"
            for found in rows
        ]

    def _value(self, table: str, column: str, kind: str, literal: str) -> str:
        if (table, column) in INITIAL:
            return INITIAL[table, column]
        if literal == "NULL":
            return literal
        if column == "variant_id":
            return self._variant
        if kind == "timestamp with time zone":
            return "now()"
        if column == "idempotency_key":
            # pgbench reads a name behind a colon as a variable.
            return f"'bench-{literal.split(':')[1]}-' || {NUMBER}"
        if ":" in literal:
            spelt = literal.replace(":", ":' || '")
            return f"CAST({spelt} AS {kind})"
        return vary(table, column, kind, literal, NUMBER)
