"""Checkouts that look as if they were being processed, until the test makes them stable."""

from uuid import UUID

import httpx2
from sqlalchemy import Connection, text

from pipeline.checkouts.events import write_events
from tests.integration.workers.web.stage import Stage, put_cart, start


def pause_checkout(stage: Stage, cup: httpx2.Client) -> UUID:
    """Return a checkout that looks as if it were being processed, without a worker."""
    checkout_id = UUID(start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"])
    # The way back is one that the transitions allow: a payment, whose worker never comes.
    stage.shelf.run(
        "UPDATE checkouts SET state = 'running', due_at = now() + interval '1 min', due_reason = 'stalled'"
        " WHERE id = :id",
        id=checkout_id,
    )
    return checkout_id


def rest(stage: Stage, checkout_id: UUID) -> None:
    """Have another process make a checkout stable, as a worker does."""
    stage.server._context.components.transactions.run(lambda connection: _rest(connection, checkout_id))


def rest_unnoticed(stage: Stage, checkout_id: UUID) -> None:
    """Have a process make a checkout stable that is killed before it wakes anybody."""
    with stage.engine.begin() as connection:
        _rest(connection, checkout_id)


def _rest(connection: Connection, checkout_id: UUID) -> None:
    connection.execute(
        text("UPDATE checkouts SET state = 'awaiting_payment', due_at = NULL, due_reason = NULL WHERE id = :id"),
        {"id": checkout_id},
    )
    write_events(connection, "checkout.awaiting_payment", [checkout_id])
