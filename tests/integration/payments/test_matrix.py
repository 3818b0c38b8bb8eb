"""Every call x whatever can become of it x whatever may come first: one charge per placed order, and none otherwise.

| verb      | how it is reached                    | retry                                        | webhook first    |
|-----------|--------------------------------------|----------------------------------------------|------------------|
| open      | paid straight through                | its message comes again while the call is    | an early one (*) |
|           |                                      | out, to another process                      |                  |
| authorize | paid straight through                | the buyer's second card, after a decline     | of the effect    |
| capture   | paid straight through                | its message comes again, as for open         | of the effect    |
| void      | cancelled once authorised            | a person's retry: the bank had said no       | of the effect    |
| refund    | the bank said no to the capture, and | a person's retry: the bank had said no       | of the effect    |
|           | had taken the money                  |                                              |                  |

Webhook first: the bank's webhook is delivered and worked on before its answer is recorded, with each call of the verb.
(*) Where the bank has nothing to tell (opening moves nothing, nor does a decline), an event comes that says more than
is true. No webhook is believed, so that must change nothing. With a crash, it comes to the process that follows.
"""

from typing import Final
from uuid import UUID

import pytest

from models.states import CheckoutState
from tests.integration.payments.matrix import CASES, Case, find_end
from tests.integration.payments.stage import TOTAL, Stage
from tests.integration.payments.trouble import Trouble
from tests.support.harness import OWNER
from tests.support.mail import make_due, picture, read_inbox
from tests.support.workbench import RESTING


def reach_open(stage: Stage, case: Case, trouble: Trouble) -> UUID:
    trouble.begin()
    return stage.start(case.token)


def reach_authorize(stage: Stage, case: Case, trouble: Trouble) -> UUID:
    if case.way != "retry":
        return reach_open(stage, case, trouble)
    checkout_id = stage.start()
    stage.pump()
    stage.works.pay(checkout_id, "tok_declined")
    stage.pump()
    trouble.begin()
    stage.works.pay(checkout_id, case.token)
    return checkout_id


def reach_void(stage: Stage, case: Case, trouble: Trouble) -> UUID:
    checkout_id = stage.start("tok_cancel_declined" if case.way == "retry" else case.token)
    stage.pump(until="payment_capture")
    stage.works.service.cancel(checkout_id, OWNER)
    return undo(stage, case, trouble, checkout_id)


def reach_refund(stage: Stage, case: Case, trouble: Trouble) -> UUID:
    trouble.begin(refuses_capture=True)
    stage.spy.after = None
    checkout_id = stage.start("tok_refund_declined" if case.way == "retry" else case.token)
    stage.pump(until="payment_capture")
    return undo(stage, case, trouble, checkout_id)


def undo(stage: Stage, case: Case, trouble: Trouble, checkout_id: UUID) -> UUID:
    """Begin the undo. As a retry: the bank has refused a first one, and an operator retries."""
    if case.way == "retry":
        stage.pump()
        assert stage.settle(checkout_id) == "needs_review"
        assert_review(stage, case, checkout_id)
        ask_again(stage, checkout_id, case.token)
        trouble.heard.clear()
    trouble.begin(refuses_capture=case.verb == "refund")
    return checkout_id


def ask_again(stage: Stage, checkout_id: UUID, token: str) -> None:
    """Retry as the operator, now that the bank behaves otherwise."""
    stage.shelf.run("UPDATE payments SET token = :token", token=token)
    stage.works.service.retry(checkout_id, actor="ops", reason="the bank was asked")


def assert_review(stage: Stage, case: Case, checkout_id: UUID) -> None:
    """Assert that the review has the amount, and why no rule could settle it."""
    review = stage.works.status(checkout_id).review
    assert review is not None
    assert (
        review.message
        == {
            "void": "7.00 EUR authorised could not be voided (cancel_declined): void it at the provider, then retry.",
            "refund": "7.00 EUR could not be refunded (refund_declined): refund it at the provider, then retry.",
        }[case.verb]
    )


REACH: Final = {
    "open": reach_open,
    "authorize": reach_authorize,
    "capture": reach_open,
    "void": reach_void,
    "refund": reach_refund,
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_charge_per_placed_order_and_none_otherwise(stage: Stage, case: Case) -> None:
    # Given
    trouble = Trouble(stage, case)
    checkout_id = REACH[case.verb](stage, case, trouble)
    end = find_end(case)
    # When
    stage.pump()
    if case.fault == "crash":
        if case.way == "webhook":
            trouble.report(checkout_id)
        stage.run_leases_out()
    state = stage.settle(checkout_id, until=RESTING | {CheckoutState.AWAITING_PAYMENT})
    reviews = stage.events(checkout_id).count("checkout.needs_review")
    # Then only an undo that the bank refuses needs review, with the amount, and a retry works
    is_refused = case.verb in ("void", "refund") and case.fault == "decline"
    assert reviews == is_refused + (case.verb in ("void", "refund") and case.way == "retry")
    if is_refused:
        assert state == "needs_review"
        assert_review(stage, case, checkout_id)
        ask_again(stage, checkout_id, "tok_ok")
        state = stage.settle(checkout_id)
    trouble.end()
    # ... and the bank's ledger holds one charge for an order, and none otherwise
    assert (state, stage.totals(checkout_id)) == (end.state, end.totals)
    assert stage.entries() == [(kind, TOTAL) for kind in end.ledger]
    assert stage.orders() == list(end.orders)
    assert stage.shelf.stock("cup") == end.stock
    assert len(stage.shelf.rows("SELECT FROM sandbox.payments")) == (case.verb != "open" or case.fault != "decline")
    # ... and what the bank says of it, all over again and backwards, changes nothing more
    if case.way == "webhook":
        assert_mail_is_no_news(stage)


def assert_mail_is_no_news(stage: Stage) -> None:
    """Deliver all of the bank's mail, newest first, and assert that it only leaves lines in the trail."""
    before = without_trail(picture(stage.engine))
    stage.mail.deliver(stage.bank.events()[::-1])
    make_due(stage.shelf)
    stage.works.sweep()
    stage.pump()
    assert {status for name, status, *_ in read_inbox(stage.shelf) if not name.startswith("evt_early")} <= {"applied"}
    assert without_trail(picture(stage.engine)) == before


def without_trail(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """Leave out what a poll may write: when the next one is due, and that a webhook was applied."""
    return {table: lines for table, lines in rows.items() if table not in ("events", "checkouts")}
