"""A status poll leases the operation that it may settle, and is no attempt of it."""

from dataclasses import replace
from typing import Any

from models.states import OperationKind
from pipeline.checkouts.locks import lock_checkouts
from pipeline.gateways.gateway import Verb
from pipeline.payments.leases import take_leases
from pipeline.payments.payment import Intent
from pipeline.payments.storage import load_payments
from tests.integration.payments.stage import Stage

ROW = """
    SELECT fence, attempts, updated_at, leased_until > now() AS leased FROM payment_operations
    WHERE checkout_id = :id AND kind = 'authorize'
"""


def test_a_poll_is_no_attempt_and_leaves_the_fence(stage: Stage) -> None:
    # Given an authorisation that waits for its buyer, in a checkout whose direction has changed since
    checkout_id = stage.start("tok_action_required")
    stage.works.pump()
    before = stage.shelf.row(ROW, id=checkout_id)
    assert (before.fence, before.attempts, before.leased) == (0, 0, None)

    def lease(verb: Verb) -> tuple[bool, Any]:
        with stage.engine.begin() as connection:
            [member] = lock_checkouts(connection, [checkout_id])
            payment = load_payments(connection, [checkout_id])[checkout_id]
            intent = Intent(OperationKind.AUTHORIZE, 1, verb)
            [planned] = take_leases(connection, [(replace(member, fence=3), payment, intent)], stage.settings)
        return planned.is_poll, stage.shelf.row(ROW, id=checkout_id)

    # When it is polled twice, the second time over the lease of a crashed worker
    for _ in range(2):
        is_poll, row = lease(Verb.RETRIEVE)
        # Then
        assert is_poll
        assert tuple(row) == (0, 0, before.updated_at, True)
    # When the call itself is made over that lease
    is_poll, row = lease(Verb.AUTHORIZE)
    # Then it is a new attempt under the new fence
    assert not is_poll
    assert (row.fence, row.attempts, row.leased) == (3, 1, True)
    assert row.updated_at > before.updated_at
