"""Promotions: `checkout promotions create --title T --kind percentage --percent 15 --automatic`, `list`, `show`, `end`.

Exit codes: 0 done or shown; 1 refused, and nothing was changed; 2 the database cannot be reached, or the call is wrong.
"""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from models.money import Money, parse_amount
from models.states import PromotionKind
from pipeline.errors.objections import explain_first
from pipeline.pricing.promotions.records import (
    PromotionForm,
    PromotionView,
    create_promotion,
    end_promotion,
    list_promotions,
    read_promotion,
)
from scripts.command_table import COMMANDS
from scripts.environments.command_transaction import open_transaction, print_rows
from scripts.terminal.moments import put_into_utc
from scripts.terminal.output import say, say_json

COLUMNS: Final = ("id", "title", "what", "for", "minimum", "from", "until", "now", "coupons", "used")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PromotionId = Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=2**63 - 1, help="The promotion's number.")]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=COMMANDS["promotions"].help
)


@app.command()
def create(
    *,
    title: Annotated[str, typer.Option(help="What buyers read beside the discount.")],
    kind: Annotated[PromotionKind, typer.Option(help="What it takes off.")],
    percent: Annotated[str | None, typer.Option(help="Of what is left of its lines, up to 100, such as 15.")] = None,
    amount: Annotated[str | None, typer.Option(help="An amount of the currency, such as 5.00.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of the amount and the minimum, such as EUR.")] = None,
    minimum: Annotated[str | None, typer.Option(help="The spend that it needs, such as 30.00.")] = None,
    sku: Annotated[list[str] | None, typer.Option(help="Only for this variant; may be repeated.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only for this category; may be repeated.")] = None,
    priority: Annotated[int, typer.Option(min=0, max=1_000_000, help="The lowest applies first.")] = 100,
    alone: Annotated[bool, typer.Option("--alone", help="It is never combined with another one.")] = False,
    automatic: Annotated[bool, typer.Option("--automatic", help="It needs no coupon.")] = False,
    starts: Annotated[datetime | None, typer.Option(help="When it begins (UTC); now by default.")] = None,
    ends: Annotated[datetime | None, typer.Option(help="When it ends (UTC).")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a promotion. Without --automatic it needs coupons: `checkout coupons create`."""
    asked: dict[str, Any] = {
        "title": title,
        "kind": kind,
        "percent": percent,
        "amount_minor": _read_amount(amount, currency, "--amount"),
        "currency": currency,
        "minimum_minor": _read_amount(minimum, currency, "--minimum") or 0,
        "skus": sku or (),
        "categories": category or (),
        "priority": priority,
        "combines": not alone,
        "automatic": automatic,
        "starts_at": put_into_utc(starts),
        "ends_at": put_into_utc(ends),
    }
    try:
        form = PromotionForm.model_validate(asked)
    except ValidationError as error:
        raise typer.BadParameter(explain_first(error)) from None
    with open_transaction("promotions") as (connection, _):
        made = read_promotion(connection, create_promotion(connection, form))
    if as_json:
        say_json(asdict(made))
    else:
        say(f"Promotion {made.id} was created: {describe(made)}.")


@app.command("list")
def show_list(
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List promotions, newest first."""
    with open_transaction("promotions") as (connection, _):
        found = list_promotions(connection, every=every, limit=1000)
    if as_json:
        say_json([asdict(each) for each in found])
    else:
        print_rows(COLUMNS, [_list(each) for each in found])


@app.command()
def show(promotion_id: PromotionId, *, as_json: AsJson = False) -> None:
    """Show one promotion, with the uses of its coupons."""
    with open_transaction("promotions") as (connection, _):
        found = read_promotion(connection, promotion_id)
    if as_json:
        say_json(asdict(found))
    else:
        print_rows(("", ""), [(name.replace("_", " "), _write(value)) for name, value in asdict(found).items()])


@app.command()
def end(promotion_id: PromotionId) -> None:
    """End a promotion now. Checkouts that have their quote keep it."""
    with open_transaction("promotions") as (connection, _):
        ended = end_promotion(connection, promotion_id)
    say(f"Promotion {promotion_id} has ended." if ended else f"Promotion {promotion_id} had ended already.")


def describe(promotion: PromotionView) -> str:
    """Return what a promotion takes off, in some words."""
    match promotion.kind:
        case PromotionKind.PERCENTAGE:
            return f"{(promotion.percent or Decimal(0)).normalize():f} %"
        case PromotionKind.FIXED_AMOUNT:
            return str(Money(promotion.amount_minor or 0, promotion.currency or ""))
        case PromotionKind.FREE_SHIPPING:
            return "free delivery"


def _list(each: PromotionView) -> tuple[object, ...]:
    wanted = ", ".join((*each.skus, *each.categories)) or "all"
    minimum = Money(each.minimum_minor, each.currency) if each.minimum_minor and each.currency else None
    times = (each.starts_at.isoformat(sep=" ", timespec="minutes"), _write(each.ends_at))
    uses = ("automatic" if each.automatic else each.coupons, each.used)
    return (each.id, each.title, describe(each), wanted, minimum, *times, "yes" if each.is_valid else "no", *uses)


def _write(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat(sep=" ", timespec="minutes")
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value)) or None
        case _:
            return value


def _read_amount(given: str | None, currency: str | None, option: str) -> int | None:
    if given is None:
        return None
    if currency is None:
        raise typer.BadParameter(f"{option} needs --currency")
    try:
        return parse_amount(given, currency).minor
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None


if __name__ == "__main__":
    app()
