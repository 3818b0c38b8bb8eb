"""Anything may happen in any order, and the invariants hold after every step: a state machine that hypothesis drives.

Workers crash at every point between two effects, messages are lost, doubled and reordered, the broker is down, time
passes. In the end everything has recovered, and what was sold, charged and left must add up.
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid4

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, text

from pipeline.audit.report import check
from pipeline.checkouts.conditions import COUNT_NEEDS_REVIEW
from pipeline.errors import Refused
from pipeline.messaging import RESOLVE, UNWIND
from pipeline.saga import CHAIN
from pipeline.settings import Settings
from tests.support.failpoints import FAILPOINTS, PATIENT, Crash, FailingWorks, SimulatedCrash
from tests.support.harness import OWNER, Shelf
from tests.support.soundness import assert_sound
from tests.support.tables import empty_tables

GOODS: Final = {"cup": 40, "pot": 20, "tea": 6}
QUEUES: Final = (*(phase.queue for phase in CHAIN), UNWIND, RESOLVE)
FAULTS: Final = [
    f"tok_{verb}_{fault}"
    for verb in ("open", "authorize", "capture", "cancel")
    for fault in ("timeout_before", "timeout_after", "error")
]
TOKENS: Final = [
    "tok_ok",
    "tok_declined",
    "tok_insufficient_funds",
    "tok_action_required",
    "tok_open_declined",
    "tok_capture_declined",
    *FAULTS,
    "tok_action_required+tok_authorize_timeout_after+tok_capture_timeout_after",
    "tok_authorize_timeout_after+tok_cancel_timeout_before",
    "tok_open_timeout_after+tok_cancel_error",
    "tok_capture_declined+tok_cancel_timeout_after",
]

#: Rounds of waiting, sweeping and working after which everything must be in a stable state.
HEALING_ROUNDS: Final = 25


tokens = st.sampled_from(["tok_ok", "tok_ok", "tok_ok", *TOKENS])
start_tokens = st.sampled_from([None, None, None, None, None, "tok_ok", "tok_ok", "tok_ok", *TOKENS])
baskets = st.dictionaries(st.sampled_from(sorted(GOODS)), st.integers(1, 2), min_size=1, max_size=3)
# Ten commits, messages and calls deep: a whole way through the chain has about that many of each.
crashes = st.none() | st.builds(Crash, st.sampled_from(FAILPOINTS), st.sampled_from(range(10)))
stations = st.sampled_from([*(phase.name for phase in CHAIN), None])
numbers = st.integers(0, 20)


#: An ended checkout is only polled, unless its payment is live.
ON_ITS_WAY: Final = """
    SELECT c.id, c.state, phase, due_at, due_reason, c.last_error, p.status
    FROM checkouts c LEFT JOIN payments p ON p.checkout_id = c.id
    WHERE (due_at IS NOT NULL AND ended_at IS NULL) OR c.state = 'unwinding'
       OR (c.state IN ('failed', 'cancelled', 'expired')
           AND p.status IN ('open', 'action_required', 'authorized', 'captured'))
"""


class CheckoutMachine(RuleBasedStateMachine):
    """A shop with a few goods, its buyers, its operators, and bad luck."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Open an empty shop."""
        super().__init__()
        with engine.begin() as connection:
            empty_tables(connection)
        self.engine = engine
        self.lenient = settings.model_copy(update={"redeliver_always_after_seconds": 1e9})
        self.works = FailingWorks(engine, settings)
        self.shelf = Shelf(engine)
        self.ids: list[UUID] = []
        for sku, stock in GOODS.items():
            self.shelf.add_variant(sku, stock=stock)

    def pick(self, number: int, like: str = "true") -> UUID:
        """Return one of the checkouts, if possible one that is like this."""
        ids = [id_ for (id_,) in self.shelf.rows(f"SELECT id FROM checkouts WHERE {like} ORDER BY id")] or self.ids
        return ids[number % len(ids)]

    def survive(self, crash: Crash | None, work: Callable[[], object]) -> bool:
        """Run work that may be killed on its way; False when it was, and its process has been started again."""
        self.works.failpoints.armed = crash
        try:
            work()
        except SimulatedCrash:
            self.works.restart()
            return False
        finally:
            self.works.failpoints.armed = None
        return True

    @initialize(orders=st.lists(st.tuples(baskets, start_tokens), min_size=2, max_size=4))
    def open_shop(self, orders: list[tuple[dict[str, int], str | None]]) -> None:
        """Some buyers are there already."""
        for basket, token in orders:
            self.start(basket, token, CHAIN[0].name, None)

    @rule(basket=baskets, token=start_tokens, until=stations, crash=crashes)
    def start(self, basket: dict[str, int], token: str | None, until: str | None, crash: Crash | None) -> None:
        """A buyer checks out, and the workers take it on; a buyer without an answer asks again with the same key."""
        cart_id = self.shelf.add_cart(*basket.items())
        key = str(uuid4())

        def ask() -> None:
            self.works.start(cart_id, token=token, idempotency_key=key)
            self.works.pump(until=until)

        self.survive(crash, ask)
        self.ids.append(self.works.start(cart_id, token=token, idempotency_key=key))
        assert self.shelf.rows("SELECT id FROM checkouts WHERE cart_id = :id", id=cart_id) == [(self.ids[-1],)]

    @rule(number=numbers, token=tokens, crash=crashes)
    def pay(self, number: int, token: str, crash: Crash | None) -> None:
        """The buyer pays, or uses another card; the request is repeated with the same key when there is no response."""
        payable = "state = 'awaiting_payment' OR state = 'running' AND NOT payment_given"
        checkout_id, key = self.pick(number, payable), str(uuid4())
        for failpoint in (crash, None):
            try:
                if self.survive(failpoint, lambda: self.works.pay(checkout_id, token, idempotency_key=key)):
                    return
            except Refused:
                return

    @rule(number=numbers, approves=st.booleans(), returns=st.booleans())
    def visit_bank(self, number: int, *, approves: bool, returns: bool) -> None:
        """The buyer acts at the bank, and may come back to the shop or not."""
        checkout_id = self.pick(number, "state = 'action_required'")
        for (reference,) in self.shelf.rows(
            "SELECT reference FROM payments WHERE checkout_id = :id AND reference IS NOT NULL", id=checkout_id
        ):
            self.works.visit_bank(reference, approves=approves)
        if returns:
            self.works.service.resume(checkout_id, OWNER)

    @rule(number=numbers, by_operator=st.booleans(), crash=crashes)
    def cancel(self, number: int, crash: Crash | None, *, by_operator: bool) -> None:
        """The buyer or an operator wants it to end."""
        checkout_id = self.pick(number)

        def ask() -> None:
            try:
                if by_operator:
                    self.works.service.release(checkout_id, actor="ada", reason="asked on the phone")
                else:
                    self.works.service.cancel(checkout_id, OWNER)
            except Refused:
                pass

        self.survive(crash, ask)

    @precondition(lambda self: any(self.works.line.waiting.values()))
    @rule(number=numbers, limit=st.integers(1, 8), crash=crashes)
    def deliver(self, number: int, limit: int, crash: Crash | None) -> None:
        """A worker gets a batch of one queue."""
        waiting = sorted(queue for queue, sends in self.works.line.waiting.items() if sends)
        queue = waiting[number % len(waiting)]
        ids = self.works.line.take(queue, limit)
        self.survive(crash, lambda: self.works.work(queue, ids))

    @rule(until=stations, crash=crashes)
    def work(self, until: str | None, crash: Crash | None) -> None:
        """The workers of the first phases, or of all, empty their queues."""
        self.survive(crash, lambda: self.works.pump(until=until))

    @rule(number=numbers, queue=st.sampled_from(QUEUES))
    def receive_stray_message(self, number: int, queue: str) -> None:
        """A message of any queue comes once more, or much too late."""
        self.works.work(queue, [self.pick(number)])

    @rule(data=st.data())
    def shuffle_messages(self, data: st.DataObject) -> None:
        """Messages overtake each other."""
        for queue, sends in sorted(self.works.line.waiting.items()):
            if len(sends) > 1:
                shuffled = data.draw(st.permutations(list(sends)))
                sends.clear()
                sends.extend(shuffled)
                assert queue in QUEUES

    @rule()
    def lose_messages(self) -> None:
        """Redis comes back empty."""
        self.works.line.lose_all()

    @rule(away=st.sampled_from([False, False, True]))
    def turn_broker(self, *, away: bool) -> None:
        """Redis goes away, or comes back."""
        self.works.line.away = away

    @rule(number=numbers)
    def run_out_of_time(self, number: int) -> None:
        """The checkout expires."""
        self.shelf.run("UPDATE checkouts SET expires_at = now() WHERE id = :id", id=self.pick(number))

    @rule(overdue=st.booleans())
    def wait(self, *, overdue: bool) -> None:
        """Leases, back-offs and stalls end; `overdue`: messages have waited for hours, too."""
        self.shelf.run("UPDATE checkouts SET due_at = now() WHERE due_at IS NOT NULL")
        self.shelf.run(
            "UPDATE payment_operations SET leased_until = least(leased_until, now()),"
            " updated_at = updated_at - interval '2 hours'"
        )
        if overdue:
            self.shelf.run("UPDATE checkouts SET sent_at = sent_at - interval '3 hours'")

    @rule(crash=crashes)
    def sweep(self, crash: Crash | None) -> None:
        """The sweep comes by."""
        self.survive(crash, self.works.sweep)

    @invariant()
    def keep_promises(self) -> None:
        """Every invariant that does not speak of time holds at every moment."""
        with self.engine.begin() as connection:
            assert_sound(connection, self.lenient)
            assert connection.execute(text(COUNT_NEEDS_REVIEW)).scalar_one() == 0

    def heal(self) -> None:
        """Pass time and work until nothing is in flight."""
        self.works.line.away = False
        for _ in range(HEALING_ROUNDS):
            self.wait(overdue=True)
            self.works.sweep()
            self.works.pump()
            if (stuck := self.shelf.rows(ON_ITS_WAY)) == []:
                return
        raise AssertionError(f"still on its way: {stuck}")

    def teardown(self) -> None:
        """Everything comes to its end, and the figures agree."""
        try:
            self.heal()
            left = self.shelf.rows("SELECT DISTINCT state FROM checkouts WHERE ended_at IS NULL")
            assert {state for (state,) in left} <= {"awaiting_payment", "action_required"}
            self.keep_promises()
            self.shelf.run("UPDATE checkouts SET expires_at = now() WHERE ended_at IS NULL")
            self.heal()
            self.keep_promises()
            self.count_up()
        finally:
            self.works.close()

    def count_up(self) -> None:
        """Compare stock and money with the orders, and the price locks with their hashes."""
        with self.engine.connect() as connection:
            assert check(connection, self.lenient).violations == ()
        assert self.shelf.rows("SELECT count(*) FROM checkouts WHERE ended_at IS NULL") == [(0,)]
        sold = dict(
            self.shelf.rows("""
                SELECT l.sku, sum(l.quantity) FROM order_lines l JOIN orders o ON o.id = l.order_id
                WHERE o.state = 'placed' GROUP BY l.sku
            """)
        )
        assert {sku: self.shelf.stock(sku) for sku in GOODS} == {
            sku: (stock - sold.get(sku, 0), 0) for sku, stock in GOODS.items()
        }
        [(captured, ordered)] = self.shelf.rows("""
            SELECT (SELECT coalesce(sum(captured_minor - refunded_minor), 0) FROM sandbox.payments),
                   (SELECT coalesce(sum(total_minor), 0) FROM orders WHERE state = 'placed')
        """)
        assert captured == ordered


def test_the_invariants_hold_whatever_happens(engine: Engine, settings: Settings) -> None:
    class Here(CheckoutMachine):
        def __init__(self) -> None:
            super().__init__(engine, settings.model_copy(update=PATIENT).with_gateway_options(hang_seconds=0))

    run_state_machine_as_test(
        Here,
        settings=hypothesis_settings(
            max_examples=40, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
