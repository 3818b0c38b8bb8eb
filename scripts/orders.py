"""Placed orders: `checkout orders list` and `show`; `cancel`, `refund`, `restock`, `fulfill` and `settle` change them.

Exit codes: 0 shown or done; 1 refused, failed or no such order, and nothing was changed; 2 the database cannot be
reached, or the command line is wrong; 3 the change is in progress or needs review: `checkout orders show ORDER`.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID, uuid4

import typer
from pydantic import ValidationError
from sqlalchemy import Connection

from models.states import ChangeState, OrderState
from pipeline.database import reading
from pipeline.errors.objections import explain_first
from pipeline.operations.order_detail import describe_change, read_order_detail
from pipeline.operations.order_search import find_orders
from pipeline.orders import ChangeResult
from pipeline.orders.reading import ChangeView, OrderFilter, OrderPage, OrderView, list_orders, read_change, read_order
from pipeline.orders.reading.listing import MAX_NUMBER, MAX_PAGE, USUAL_PAGE
from pipeline.orders.requests import (
    CancelRequest,
    ChangeRequest,
    FulfillmentRequest,
    RefundRequest,
    Resolution,
    RestockRequest,
)
from pipeline.settings import Settings
from scripts.command_table import COMMANDS
from scripts.environments.command_engine import POLL_SECONDS, Actor, Reason, open_engine
from scripts.environments.command_transaction import open_transaction, print_rows, read_for_people
from scripts.terminal.moments import put_into_utc
from scripts.terminal.order_options import (
    AsJson,
    DryRun,
    Key,
    OrderName,
    PlacedUnitsOption,
    Units,
    Wait,
    read_amount,
    read_order_name,
    read_placed_units,
    read_units,
)
from scripts.terminal.order_view import LISTED, list_entry, print_draft, print_order
from scripts.terminal.output import say, say_json
from workers.bootstrap import Components

#: The exit code of a change that has not ended.
NOT_ENDED: Final = 3

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=COMMANDS["orders"].help
)


@app.command("list")
def show_list(
    *,
    find: Annotated[
        str | None, typer.Option(help="A number, reference, customer, provider's reference, or the id of anything.")
    ] = None,
    number: Annotated[int | None, typer.Option(min=1, max=MAX_NUMBER, help="Only the order with this number.")] = None,
    reference: Annotated[str | None, typer.Option(help="Only orders with this reference of the shop.")] = None,
    customer: Annotated[str | None, typer.Option(help="Only orders of this customer.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only orders of this owner.")] = None,
    state: Annotated[OrderState | None, typer.Option(help="Only orders in this state.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only orders placed at or after this time (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only orders placed before this time (UTC).")] = None,
    after: Annotated[str | None, typer.Option(help="Continue: the cursor that the page before has named.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="How many at most.")] = USUAL_PAGE,
    as_json: AsJson = False,
) -> None:
    """List placed orders, newest first."""
    if find is not None and (number, reference, customer) != (None, None, None):
        raise typer.BadParameter("--find looks for numbers, references and customers itself: leave those options out")
    wanted = OrderFilter(
        number=number,
        reference=reference,
        customer=customer,
        state=state,
        since=put_into_utc(since),
        until=put_into_utc(until),
    )

    def read(connection: Connection, _: Settings) -> OrderPage:
        chosen = wanted if find is None else find_orders(connection, find, wanted, owner=owner)
        if chosen is None:
            return OrderPage((), None)
        return list_orders(connection, chosen, owner=owner, after=after, limit=limit)

    page, standby = read_for_people("orders", read)
    if as_json:
        orders = [asdict(each) for each in page.entries]
        say_json({"orders": orders, "next_after": page.next_after, "standby": standby and asdict(standby)})
        return
    print_rows(LISTED, [list_entry(each) for each in page.entries])
    if standby is not None:
        say(standby.sentence, err=True)
    if page.next_after is not None:
        say(f"There are more: --after {page.next_after}", err=True)


@app.command()
def show(order: OrderName, *, as_json: AsJson = False) -> None:
    """Show everything about one order: what is left of it, and what happened to it."""
    order_id, number = read_order_name(order)
    with open_transaction("orders") as (connection, _):
        detail = read_order_detail(connection, order_id=order_id, number=number)
    if as_json:
        say_json({**asdict(detail.order), "events": [asdict(each) for each in detail.events]})
        return
    print_order(detail)


@app.command()
def cancel(
    order: OrderName,
    *,
    reason: Reason,
    actor: Actor,
    restock: Annotated[bool, typer.Option("--restock/--no-restock", help="Put the units into stock again.")] = True,
    key: Key = None,
    wait: Wait = 30,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Cancel an order: refund what is left of it, restock its units, and keep its number."""
    _change(
        order,
        lambda _: CancelRequest(reason=reason, restock=restock),
        actor=actor,
        key=key,
        wait=wait,
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def refund(
    order: OrderName,
    *,
    reason: Reason,
    actor: Actor,
    line: Units = None,
    delivery: Annotated[str | None, typer.Option(help="An amount of the delivery, such as 4.50.")] = None,
    amount: Annotated[str | None, typer.Option(help="An amount of the order, such as 4.50, of no line.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is left.")] = False,
    key: Key = None,
    wait: Wait = 30,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Refund units of lines and an amount of the delivery, or an amount, or all that is left."""

    def ask(found: OrderView) -> ChangeRequest:
        return RefundRequest(
            reason=reason,
            all=everything,
            amount_minor=read_amount(amount, found.currency, "--amount"),
            lines=read_units(line),
            delivery_minor=read_amount(delivery, found.currency, "--delivery"),
        )

    _change(order, ask, actor=actor, key=key, wait=wait, dry_run=dry_run, as_json=as_json)


@app.command()
def restock(
    order: OrderName,
    *,
    line: PlacedUnitsOption,
    reason: Reason,
    actor: Actor,
    key: Key = None,
    wait: Wait = 30,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put units that came back into the stock of the location that sold them."""
    _change(
        order,
        lambda _: RestockRequest(reason=reason, lines=read_placed_units(line)),
        actor=actor,
        key=key,
        wait=wait,
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def fulfill(
    order: OrderName,
    *,
    line: PlacedUnitsOption,
    actor: Actor,
    carrier: Annotated[str | None, typer.Option(help="The carrier, such as DHL.")] = None,
    tracking: Annotated[str | None, typer.Option(help="The carrier's tracking number.")] = None,
    reason: Annotated[str, typer.Option(help="A remark, written into the order's events.")] = "",
    key: Key = None,
    wait: Wait = 30,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Record what was sent to the buyer."""
    _change(
        order,
        lambda _: FulfillmentRequest(reason=reason, lines=read_placed_units(line), carrier=carrier, tracking=tracking),
        actor=actor,
        key=key,
        wait=wait,
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def settle(
    change: Annotated[UUID, typer.Argument(metavar="ID", help="The id of a change that needs review.")],
    resolution: Annotated[
        Resolution,
        typer.Option("--as", help="retry: refund it again. done: it was paid. failed: it was not, and will not be."),
    ],
    *,
    reason: Reason,
    actor: Actor,
    wait: Wait = 30,
    as_json: AsJson = False,
) -> None:
    """Settle a change that needs review, as a person has found out."""
    with open_engine("orders") as engine:
        result = engine.orders.settle(change, resolution, actor=f"operator:{actor}", reason=reason)
        ended = _wait_for(engine, result.change_id, wait)
    _report(ended, as_json=as_json, is_wanted=resolution is Resolution.FAILED)


def _change(
    order: str,
    ask: Callable[[OrderView], ChangeRequest],
    *,
    actor: str,
    key: str | None,
    wait: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    order_id, number = read_order_name(order)
    with open_engine("orders") as engine:
        with reading(engine.database) as connection:
            found = read_order(connection, owner=None, order_id=order_id, number=number)
        try:
            request = ask(found)
        except ValidationError as error:
            raise typer.BadParameter(explain_first(error)) from None
        if dry_run:
            draft = engine.orders.preview(found.id, None, request)
            say_json(asdict(draft)) if as_json else print_draft(draft)
            return
        result: ChangeResult = engine.orders.request(
            found.id, None, request, actor=f"operator:{actor}", idempotency_key=key or f"command-{uuid4()}"
        )
        ended = _wait_for(engine, result.change_id, wait)
    _report(ended, as_json=as_json)


def _wait_for(engine: Components, change_id: UUID, seconds: float) -> ChangeView:
    """Return a change once it is settled, or after so many seconds."""
    ends_at = time.monotonic() + seconds
    while True:
        with reading(engine.database) as connection:
            found = read_change(connection, change_id, None)
        if found.is_settled or time.monotonic() >= ends_at:
            return found
        time.sleep(POLL_SECONDS)


def _report(change: ChangeView, *, as_json: bool, is_wanted: bool = False) -> None:
    """Print a change, and end with the exit code of its state."""
    if as_json:
        say_json(asdict(change))
    else:
        say(describe_change(change))
        say(f"Change {change.id} of order {change.order_id}.", err=True)
    if change.state is ChangeState.FAILED and not is_wanted:
        raise typer.Exit(1)
    if change.state in {ChangeState.REQUESTED, ChangeState.RUNNING, ChangeState.NEEDS_REVIEW}:
        raise typer.Exit(NOT_ENDED)


if __name__ == "__main__":
    app()
