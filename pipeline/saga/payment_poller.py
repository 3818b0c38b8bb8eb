"""Retrieves payments from the provider when it may know more than the database.

A webhook, the polls after an end and the reconciler only cause a retrieval; what they say is not applied. So their
order and number do not matter.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never
from uuid import UUID

from sqlalchemy import Connection

from models.states import ENDINGS, CheckoutState, OperationStatus, PaymentStatus
from pipeline.checkouts import LockedCheckout
from pipeline.checkouts.events import write_events
from pipeline.checkouts.locks import lock_checkouts
from pipeline.gateways.gateway import ActionRequired, Declined, Succeeded, Verb
from pipeline.messaging import RESOLVE, OutgoingMessage
from pipeline.payments import CallResult, Intent, PaymentState, load_payments, store_results, take_leases
from pipeline.payments.late_funds import close_reviews
from pipeline.payments.payment import LIVE
from pipeline.saga import backward, forward
from pipeline.saga.chain import GatewayPhase, next_phase
from pipeline.saga.executor import Executor, Step
from pipeline.settings import Settings


class PaymentPoller:
    """Records the retrieved status of payments, and resumes checkouts that can continue. Safe at any time."""

    def __init__(self, executor: Executor, settings: Settings) -> None:
        """Take what commits, sends and calls."""
        self._executor = executor
        self._settings = settings

    def run(self, ids: Sequence[UUID]) -> set[UUID]:
        """Retrieve the payments of these checkouts.

        Return those that were retrieved, or have nothing to retrieve; the caller repeats the others.
        """
        retrieved: set[UUID] = set()

        def step(connection: Connection, ids: Sequence[UUID], answers: Sequence[CallResult]) -> Step[CallResult]:
            checkouts = lock_checkouts(connection, ids)
            if answers:
                done, messages = self._apply(connection, checkouts, answers)
                # The step is repeated when its commit fails, which is harmless with a set.
                retrieved.update(done)
                return Step(messages=messages)
            return self._plan(connection, checkouts, retrieved)

        def fail(connection: Connection, checkout_id: UUID, error: Exception) -> Step[CallResult]:
            del connection, error  # the executor has logged it
            retrieved.discard(checkout_id)
            return Step()

        self._executor.run(ids, step, fail)
        return retrieved

    def _plan(
        self, connection: Connection, checkouts: Sequence[LockedCheckout], retrieved: set[UUID]
    ) -> Step[CallResult]:
        payments = load_payments(connection, [each.id for each in checkouts])
        intents = []
        for checkout in checkouts:
            payment = payments.get(checkout.id)
            operation = payment.pending if payment is not None else None
            if payment is None or operation is None or checkout.state is CheckoutState.COMPLETED:
                retrieved.add(checkout.id)
            elif payment.reference is None:
                # There is no reference to retrieve: a repeat of the call in flight shows more.
                if not payment.unsettled:
                    retrieved.add(checkout.id)
            elif operation.leased_until is None or operation.leased_until <= checkout.now:
                intents.append((checkout, payment, Intent(operation.kind, operation.n, Verb.RETRIEVE)))
        return Step(calls=take_leases(connection, intents, self._settings, hold=False))

    def _apply(
        self, connection: Connection, checkouts: Sequence[LockedCheckout], answers: Sequence[CallResult]
    ) -> tuple[set[UUID], list[OutgoingMessage]]:
        before = load_payments(connection, [each.id for each in checkouts])
        after = store_results(connection, checkouts, answers, before)
        messages = [each for checkout in checkouts for each in self._continue(connection, checkout, before, after)]
        definite = {
            each.planned.call.checkout_id
            for each in answers
            if isinstance(each.answer, Succeeded | ActionRequired | Declined)
        }
        ended = [each.id for each in checkouts if each.state in ENDINGS and after[each.id].status not in LIVE]
        answered = [id_ for id_ in ended if id_ in definite]
        # Their reviews are settled, perhaps by an operator in the provider's dashboard.
        close_reviews(connection, answered)
        backward.schedule_next_poll(connection, answered, self._settings)
        backward.schedule_next_poll(
            connection, [id_ for id_ in ended if id_ not in definite], self._settings, answered=False
        )
        return definite, messages

    def _continue(
        self,
        connection: Connection,
        checkout: LockedCheckout,
        before: Mapping[UUID, PaymentState],
        after: Mapping[UUID, PaymentState],
    ) -> list[OutgoingMessage]:
        """Resume a checkout that can continue with the retrieved status; return its messages."""
        was, payment = before[checkout.id], after[checkout.id]
        changed = was.status is not payment.status or _outcomes(was) != _outcomes(payment)
        match checkout.state:
            case CheckoutState.ACTION_REQUIRED:
                waits = any(each.status is OperationStatus.ACTION_REQUIRED for each in payment.operations)
                return [] if waits else self._resume(connection, checkout)
            case CheckoutState.AWAITING_PAYMENT:
                # The buyer returned to the bank after declining, and paid after all.
                return self._resume(connection, checkout) if payment.status is PaymentStatus.AUTHORIZED else []
            case CheckoutState.RUNNING:
                goes_on = changed and isinstance(next_phase(checkout.phase).work, GatewayPhase)
                return [_send(checkout)] if goes_on else []
            case CheckoutState.UNWINDING:
                return [_send(checkout)]
            case CheckoutState.FAILED | CheckoutState.CANCELLED | CheckoutState.EXPIRED:
                return self._void_or_refund(connection, checkout, was, payment)
            case CheckoutState.NEEDS_REVIEW | CheckoutState.COMPLETED:
                return []
            case _:
                assert_never(checkout.state)

    def _resume(self, connection: Connection, checkout: LockedCheckout) -> list[OutgoingMessage]:
        return forward.resume_checkout(connection, checkout, self._settings, event="checkout.resumed")

    def _void_or_refund(
        self, connection: Connection, checkout: LockedCheckout, was: PaymentState, payment: PaymentState
    ) -> list[OutgoingMessage]:
        if payment.status not in LIVE:
            return []
        if payment.status is not was.status:
            facts = {"was": was.status, "status": payment.status, "amount": str(payment.amount)}
            write_events(connection, "payment.late_funds", [checkout.id], data={checkout.id: facts})
        forward.schedule_retry(connection, [(checkout, 0.0, "late funds", checkout.attempts)])
        return [OutgoingMessage(RESOLVE, checkout.id, checkout.now)]


def _send(checkout: LockedCheckout) -> OutgoingMessage:
    return OutgoingMessage(forward.queue_of(checkout.state, checkout.phase), checkout.id, checkout.now)


def _outcomes(payment: PaymentState) -> list[OperationStatus]:
    return [each.status for each in payment.operations]
