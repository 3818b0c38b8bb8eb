"""The acts of the demo. Each act waits for what it reports, so every printed line is a fact."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from dramatiq import Message
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError

from models.guards import CART_LOCKED
from models.states import TERMINAL, ChangeState, CheckoutState, OperationStatus
from pipeline.intake import PaymentInput, ProcessRequest, Status
from pipeline.messaging import INTAKE
from pipeline.orders.reading import ChangeView, read_change
from pipeline.orders.requests import ChangeRequest, LineUnits, PlacedUnits, RefundRequest, RestockRequest
from pipeline.saga import get_chain
from pipeline.saga.chain import GatewayPhase
from scripts.demonstration.buyers import CUP, KETTLE, NORA, OMAR, OWNER, PIA, QUIN, RUSH, RUTH, DemoBuyer
from scripts.demonstration.view import Narrator, show_amount
from scripts.environments.ending import Ending
from scripts.environments.supervisor import Supervisor
from workers.bootstrap import Components

POLL_SECONDS: Final = 0.03
#: On an idle machine no wait takes longer than six seconds.
PATIENCE_SECONDS: Final = 45

READ_RUSH: Final = text("""
    SELECT c.state, c.phase, c.failure_message, o.number FROM checkouts c LEFT JOIN orders o ON o.checkout_id = c.id
    WHERE c.reference LIKE 'buyer-%' ORDER BY o.number, c.id
""")
# The engine's record of an authorisation, and the bank's ledger.
READ_CALL: Final = text("""
    SELECT (SELECT status FROM payment_operations WHERE checkout_id = :id AND kind = 'authorize') AS status,
           count(*) FILTER (WHERE e.kind = 'authorize') AS authorizations,
           count(*) FILTER (WHERE e.kind = 'capture') AS charges,
           coalesce(sum(e.amount_minor) FILTER (WHERE e.kind = 'capture'), 0) AS charged_minor
    FROM sandbox.entries e JOIN sandbox.payments p USING (reference) WHERE p.checkout_id = :id
""")
CHANGE_CART: Final = text("UPDATE cart_lines SET quantity = 99 WHERE cart_id = :id")

T = TypeVar("T")


def choose_victim() -> str:
    """Return the line of the Procfile whose worker is killed: of the first phase that calls the bank."""
    return next(phase.name for phase in get_chain() if isinstance(phase.work, GatewayPhase))


class Stuck(Exception):
    """Something that the demo waited for did not happen."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Whether the database refused to change the cart during the checkout, and allowed it afterwards."""

    cart_was_locked: bool
    cart_is_open: bool


@dataclass(frozen=True, slots=True)
class Kill:
    """The killed worker, whether its call was in flight, its restarts, and the bank's ledger of that payment."""

    worker: str
    killed: int
    in_flight: bool
    restarts: int
    authorizations: int
    charges: int


class Story:
    """Plays the buyers of the demo, and kills a worker."""

    def __init__(self, components: Components, supervisor: Supervisor, ending: Ending, narrator: Narrator) -> None:
        """Set the engine, the supervisor of its workers, and the narrator that prints each line."""
        self.components = components
        self.supervisor = supervisor
        self.ending = ending
        self.narrator = narrator

    def play(self) -> tuple[Cancellation, Kill]:
        """Play all acts. Raises Stuck, or Ended on a signal."""
        self.narrator.begin("A reservation that is never paid")
        forgotten = self._start(QUIN)
        self._await(forgotten, CheckoutState.AWAITING_PAYMENT)
        self.narrator.say(f"Quin starts a checkout, holds 3 teapots for {QUIN.ttl_seconds} s, and walks away.")
        self._play_rush()
        bought = self._play_declines()
        self._play_return(bought)
        cancellation = self._play_cancellation()
        kill = self._play_kill()
        self.narrator.begin("The reservation that was never paid")
        self._await(forgotten, CheckoutState.EXPIRED)
        self.narrator.say("Quin's checkout has expired; the 3 teapots are back in stock.")
        return cancellation, kill

    def _play_rush(self) -> None:
        say = self.narrator.say
        self.narrator.begin(f"{len(RUSH)} buyers want {KETTLE.units} kettles, all at once")
        bodies = [buyer.build_request().model_dump(mode="json", exclude_none=True) for buyer in RUSH]
        self.components.broker.enqueue_many(
            [Message(queue_name=INTAKE, actor_name="intake", args=(body,), kwargs={}, options={}) for body in bodies]
        )
        say(f"{len(RUSH)} messages are on the queue {INTAKE}: a kettle and something else in each cart.")
        rows = self._until(
            "every buyer of the rush has a kettle reserved or gets `out_of_stock`",
            lambda: self._read_rush(lambda row: row.phase >= 2 or row.failure_message),
        )
        failed = [row for row in rows if row.failure_message]
        say(f"{len(rows) - len(failed)} hold all that is in their carts, {len(failed)} hold nothing.")
        if failed:
            say(f"Their error: {failed[0].failure_message}")
        rows = self._until("the rush is over", lambda: self._read_rush(lambda row: row.state in TERMINAL))
        numbers = [row.number for row in rows if row.state == CheckoutState.COMPLETED]
        say(f"{len(numbers)} have paid: orders {min(numbers, default='-')} to {max(numbers, default='-')}.")

    def _play_declines(self) -> Status:
        say = self.narrator.say
        self.narrator.begin("Two cards are declined")
        nora = self._await(self._start(NORA), CheckoutState.FAILED)
        say(f'Nora pays at once: "{nora.failure.message if nora.failure else None}"')
        say("Teapot and honey are back, her prices are released, her cart is open.")
        omar = self._start(OMAR)
        held = self._await(omar, CheckoutState.AWAITING_PAYMENT)
        say(f"Omar starts first: a teapot and 2 cups are held, {show_amount(held.total_minor)} is frozen.")
        self._pay(omar, "tok_insufficient_funds", "first-card")
        self._await(omar, CheckoutState.AWAITING_PAYMENT)
        say("His first card lacks funds. The reservation stays, he may try another.")
        self._pay(omar, "tok_ok", "second-card")
        done = self._await(omar, CheckoutState.COMPLETED)
        say(f"His second card pays {show_amount(done.total_minor)}: order {done.order_number}.")
        return done

    def _play_return(self, bought: Status) -> None:
        say = self.narrator.say
        self.narrator.begin("One of two cups comes back")
        order = bought.order
        if order is None:
            raise Stuck("Omar's checkout has no order.")
        cups = next(line for line, (article, _) in enumerate(OMAR.lines, 1) if article is CUP)
        refund = self._change(order.id, RefundRequest(lines=(LineUnits(line=cups, quantity=1),), reason="one too many"))
        say(f"Omar sends back one of his two cups: {show_amount(refund.amount_minor)} is refunded.")
        restock = self._change(order.id, RestockRequest(lines=(PlacedUnits(line=cups, quantity=1),)))
        back = restock.lines[0]
        say(f"The cup is whole: {back.quantity} {back.sku} is in the stock of {back.location} again.")

    def _play_cancellation(self) -> Cancellation:
        say = self.narrator.say
        self.narrator.begin("A buyer changes her mind")
        pia = self._start(PIA)
        held = self._await(pia, CheckoutState.AWAITING_PAYMENT)
        locked = not self._change_cart(held.cart_id)
        say(f"Pia holds 2 teapots and 3 teas. Her cart is locked: an UPDATE in plain SQL is {_verdict(not locked)}.")
        self.components.service.cancel(pia, OWNER)
        self._await(pia, CheckoutState.CANCELLED)
        opened = self._change_cart(held.cart_id)
        say(f"She cancels. All is back in stock, and the same UPDATE is {_verdict(opened)}.")
        return Cancellation(locked, opened)

    def _play_kill(self) -> Kill:
        say = self.narrator.say
        self.narrator.begin("A worker is killed in mid-payment")
        victim = choose_victim()
        ruth, restarts = self._start(RUTH), self.supervisor.restarts
        self._until("the bank has authorised Ruth's payment", lambda: self._read_call(ruth).authorizations)
        killed, killed_at = self.supervisor.kill(victim, signal.SIGKILL), time.monotonic()
        in_flight = self._read_call(ruth).status == OperationStatus.INTENDED
        say("The bank authorises Ruth's card; before its answer arrives ...")
        say(f"... the {victim} worker is killed (SIGKILL). The engine knows only that it called.")
        self._until("the killed worker is started again", lambda: self.supervisor.restarts > restarts)
        say("The worker is started again. The call is not repeated until its lease has expired.")
        done = self._await(ruth, CheckoutState.COMPLETED)
        seconds, booked = time.monotonic() - killed_at, self._read_call(ruth)
        say(f"Called again with the same key, the bank repeats its answer: order {done.order_number}.")
        charged = f"{booked.charges} charge of {show_amount(booked.charged_minor)}"
        say(f"{seconds:.1f} s after the kill, its ledger shows {booked.authorizations} authorisation and {charged}.")
        return Kill(
            worker=victim,
            killed=killed,
            in_flight=in_flight,
            restarts=self.supervisor.restarts - restarts,
            authorizations=booked.authorizations,
            charges=booked.charges,
        )

    def _start(self, buyer: DemoBuyer) -> UUID:
        return self.components.service.start(buyer.build_request()).checkout_id

    def _pay(self, checkout_id: UUID, card: str, key: str) -> None:
        payment = PaymentInput(token=card)
        self.components.service.process(
            ProcessRequest(owner=OWNER, checkout_id=checkout_id, idempotency_key=key, payment=payment)
        )

    def _change(self, order_id: UUID, request: ChangeRequest) -> ChangeView:
        """Ask for a change of an order, and wait until it is done."""
        key = f"Omar:{type(request).__name__}"
        asked = self.components.orders.request(order_id, OWNER, request, actor="operator:demo", idempotency_key=key)

        def check() -> ChangeView | None:
            with self.components.database.connect() as connection:
                change = read_change(connection, asked.change_id, OWNER)
            if change.is_settled and change.state is not ChangeState.DONE:
                raise Stuck(f"The {change.kind} of Omar's order is {change.state} and should be done.")
            return change if change.state is ChangeState.DONE else None

        return self._until(f"the {asked.kind} of Omar's order is done", check)

    def _await(self, checkout_id: UUID, wanted: CheckoutState) -> Status:
        """Wait until a checkout is in this state; raise Stuck at once when it has ended in another."""

        def check() -> Status | None:
            status = self.components.service.status(checkout_id=checkout_id)
            if status.state in TERMINAL and status.state is not wanted:
                raise Stuck(f"{status.reference}'s checkout is {status.state} and should be {wanted}.")
            return status if status.state is wanted else None

        return self._until(f"checkout {checkout_id} is {wanted}", check)

    def _until(self, what: str, check: Callable[[], T | None]) -> T:
        """Call `check` until its result is not empty; return that result."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := check()):
            if time.monotonic() > deadline:
                raise Stuck(f"{PATIENCE_SECONDS} s were not enough: it was awaited that {what}.")
            self.ending.sleep(POLL_SECONDS)
        return found

    def _read_rush(self, decided: Callable[[Row[Any]], object]) -> list[Row[Any]] | None:
        """Return the checkouts of the rush once each of them is `decided`."""
        with self.components.database.connect() as connection:
            rows = list(connection.execute(READ_RUSH))
        return rows if len(rows) == len(RUSH) and all(decided(row) for row in rows) else None

    def _read_call(self, checkout_id: UUID) -> Row[Any]:
        with self.components.database.connect() as connection:
            return connection.execute(READ_CALL, {"id": checkout_id}).one()

    def _change_cart(self, cart_id: UUID) -> bool:
        """Try to change a cart in plain SQL; return whether the database allowed it."""
        try:
            with self.components.database.begin() as connection:
                return connection.execute(CHANGE_CART, {"id": cart_id}).rowcount > 0
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != CART_LOCKED:
                raise
            return False


def _verdict(allowed: bool) -> str:  # noqa: FBT001 (the one fact there is)
    return "carried out" if allowed else "refused"
