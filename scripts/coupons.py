"""Coupons of promotions: `checkout coupons create NUMBER --count 1000 --prefix SPRING`; `import`, `list`, `export`.

Exit codes: 0 done or shown; 1 refused, and nothing was changed; 2 the database cannot be reached, or the call is wrong;
3 some codes exist already, and the others were added.
"""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from pipeline.errors.objections import explain_first
from pipeline.pricing.promotions.records import CouponForm, CouponView, add_coupons, list_coupons
from scripts.command_table import COMMANDS
from scripts.environments.command_transaction import REFUSED, open_transaction, print_rows
from scripts.importers.catalog_command import PARTLY, read_file, stop
from scripts.importers.decoding import NotReadable, decode
from scripts.promotions import AsJson, PromotionId
from scripts.terminal.output import say, say_json

COLUMNS: Final = ("code", "promotion", "used", "limit", "per customer")

Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Uses of each code; without it, no end.")]
PerCustomer = Annotated[
    int | None, typer.Option("--per-customer", min=1, help="Uses of each code by one customer, whom the cart names.")
]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=COMMANDS["coupons"].help
)


@app.command()
def create(
    promotion_id: PromotionId,
    *,
    code: Annotated[list[str] | None, typer.Option(help="This code; may be repeated.")] = None,
    count: Annotated[int, typer.Option(min=0, max=100_000, help="Draw so many codes.")] = 0,
    prefix: Annotated[str, typer.Option(help="Drawn codes begin with it.")] = "",
    limit: Limit = None,
    per_customer: PerCustomer = None,
    as_json: AsJson = False,
) -> None:
    """Add coupons to a promotion, and print their codes."""
    asked = {"codes": tuple(code or ()), "count": count, "prefix": prefix}
    _add(promotion_id, asked, limit, per_customer, as_json=as_json)


@app.command("import")
def import_file(
    promotion_id: PromotionId,
    file: Annotated[Path, typer.Argument(help="A text file with one code in each line.")],
    *,
    limit: Limit = None,
    per_customer: PerCustomer = None,
    as_json: AsJson = False,
) -> None:
    """Add the codes of a file to a promotion. A line that is no code refuses the file."""
    try:
        content, _ = decode(read_file(file, None))
    except NotReadable as error:
        stop(f"{file} is no list of codes: {error}.", code=2)
    codes = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not codes:
        stop(f"{file} has no code.", code=2)
    _add(promotion_id, {"codes": codes}, limit, per_customer, as_json=as_json)


@app.command("list")
def show_list(
    *,
    promotion: Annotated[int | None, typer.Option(min=1, help="Only those of this promotion.")] = None,
    code: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List coupons with their uses, by code."""
    found = _read(promotion, code, limit)
    if as_json:
        say_json([asdict(each) for each in found])
    else:
        print_rows(COLUMNS, [_describe(each) for each in found])
    raise typer.Exit(REFUSED if code is not None and not found else 0)


@app.command()
def export(
    promotion_id: PromotionId,
    file: Annotated[Path, typer.Argument(help="The CSV file to write; it must not exist.")],
) -> None:
    """Write the coupons of a promotion with their uses into a CSV file."""
    found = _read(promotion_id, None, 10_000_000)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(("code", "used", "limit", "per_customer"))
    writer.writerows((each.code, each.used, each.usage_limit, each.per_customer_limit) for each in found)
    try:
        with file.open("x", encoding="utf-8", newline="") as opened:
            opened.write(buffer.getvalue())
    except OSError as error:
        stop(f"{file} cannot be written: {error.strerror}.", code=2)
    say(f"{len(found)} coupons are in {file}.")


def _add(
    promotion_id: int, asked: dict[str, Any], limit: int | None, per_customer: int | None, *, as_json: bool
) -> None:
    try:
        form = CouponForm.model_validate(asked | {"usage_limit": limit, "per_customer_limit": per_customer})
    except ValidationError as error:
        raise typer.BadParameter(explain_first(error)) from None
    with open_transaction("coupons") as (connection, _):
        added = add_coupons(connection, promotion_id, form)
    existing = len(set(form.codes)) - len(added) if form.codes else 0
    if as_json:
        say_json({"promotion_id": promotion_id, "added": added, "existing": existing})
    else:
        for code in added:
            say(code)
        say(f"{len(added)} coupons were added to promotion {promotion_id}.", err=True)
    if existing:
        say(f"{existing} codes exist already: they are as they were.", err=True)
        raise typer.Exit(PARTLY if added else REFUSED)


def _read(promotion_id: int | None, code: str | None, limit: int) -> tuple[CouponView, ...]:
    try:
        wanted = None if code is None else CouponForm(codes=(code,)).codes[0]
    except ValidationError as error:
        raise typer.BadParameter(explain_first(error)) from None
    with open_transaction("coupons") as (connection, _):
        return list_coupons(connection, promotion_id, code=wanted, limit=limit)


def _describe(each: CouponView) -> tuple[object, ...]:
    return (each.code, each.promotion_id, each.used, each.usage_limit, each.per_customer_limit)


if __name__ == "__main__":
    app()
