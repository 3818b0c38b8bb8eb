"""Buyers at their bank's page: how they come there, how they are heard of, and how their time runs out."""

from datetime import datetime
from typing import Final
from uuid import UUID

import pytest

from models.states import CheckoutState
from tests.integration.payments.stage import Stage
from tests.support.harness import OWNER

CHALLENGE: Final = "tok_action_required"


def challenge(stage: Stage, checkout_id: UUID) -> str:
    """Bring a checkout to the bank's page; return the provider's object."""
    stage.pump()
    assert stage.works.status(checkout_id).state is CheckoutState.ACTION_REQUIRED
    return stage.reference(checkout_id)


def start_challenged(stage: Stage) -> tuple[UUID, str]:
    """Pay straight through with a card that wants its buyer."""
    checkout_id = stage.start(CHALLENGE)
    return checkout_id, challenge(stage, checkout_id)


def pay_challenged(stage: Stage, token: str = CHALLENGE) -> tuple[UUID, str]:
    """Pay a started checkout with a card that wants its buyer."""
    checkout_id = stage.start()
    stage.pump()
    stage.works.pay(checkout_id, token)
    return checkout_id, challenge(stage, checkout_id)


def by_webhook(stage: Stage, checkout_id: UUID) -> None:
    """Hear from the bank."""
    del checkout_id
    stage.mail.deliver_new()


def by_resume(stage: Stage, checkout_id: UUID) -> None:
    """Act as the buyer that returns."""
    assert stage.works.service.resume(checkout_id, OWNER).changed


def by_both(stage: Stage, checkout_id: UUID) -> None:
    """Hear from both."""
    by_webhook(stage, checkout_id)
    by_resume(stage, checkout_id)


#: A test for each of the ways in which we hear that the buyer has acted.
told_by = pytest.mark.parametrize("report", [by_webhook, by_resume, by_both], ids=["webhook", "resume", "both"])


def read_expiry(stage: Stage, checkout_id: UUID) -> datetime:
    """Return when a checkout expires."""
    return stage.works.status(checkout_id).expires_at


def seconds_left(stage: Stage, checkout_id: UUID) -> float:
    """Return for how long a checkout is held."""
    left = stage.shelf.row(
        "SELECT extract(epoch FROM expires_at - now()) AS s FROM checkouts WHERE id = :id", id=checkout_id
    )
    return float(left.s)


def run_out(stage: Stage, checkout_id: UUID) -> None:
    """Let the time of a checkout be up."""
    stage.shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 s' WHERE id = :id", id=checkout_id)
