"""Checks every invariant: `checkout audit [--json]`. Reads only; it may run at any moment, beside running workers.

`--gateway` also compares the database with the payment provider's ledger, over the last `--hours`; `--repair` first
settles what has a safe rule. `--since HOURS` checks the checkouts that began in the last hours; sums over all
checkouts, such as stock, are still those of all. Where CHECKOUT_READ_URL is set, that database is checked, and with
`--repair` the primary. Exit codes: 0 all hold, 1 one is violated or a difference remains,
2 the database or the provider could not be read.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.text import Text

from pipeline.audit import AuditReport, take_report
from pipeline.database import connect_reader
from pipeline.database.ids import ids_since
from pipeline.database.readers import Standby
from pipeline.settings import Settings
from scripts.environments.command_errors import CommandError, explain_errors, open_redis
from scripts.environments.reconcile_run import compare_with_provider
from scripts.environments.waiting import read_waiting
from scripts.local_servers.embedded import open_settings
from scripts.terminal.output import Screen, plain, say, say_json
from scripts.terminal.reconcile_view import describe_comparison, show_comparison, show_repair

#: Rows shown of a violated invariant: enough to see a pattern. `--json` has up to a hundred.
SHOWN_ROWS: Final = 10


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    gateway: Annotated[bool, typer.Option("--gateway", help="Compare with the payment provider too.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="With --gateway: first settle what has a safe rule.")
    ] = False,
    since: Annotated[
        float | None, typer.Option(min=0.01, max=87_600, help="Only checkouts that began in the last hours.")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=87_600, help="With --gateway: how far back.")] = 168,
) -> None:
    """Check every invariant against the database, those of the gateways too; exit 1 when one is violated."""
    if repair and not gateway:
        raise typer.BadParameter("it settles what --gateway finds: add --gateway.", param_hint="--repair")
    console = Screen(soft_wrap=True)
    provider = None
    try:
        with explain_errors():
            settings = open_settings()
            if gateway:
                # Before the invariants: they check what has been repaired.
                provider = compare_with_provider(
                    settings,
                    hours,
                    repair=repair,
                    notes=Screen(stderr=True, soft_wrap=True),
                    report_repair=lambda each: None if as_json else show_repair(console, each),
                )
            # What was repaired now may not have come to a standby yet.
            own = settings.model_copy(update={"read_url": None}) if repair else settings
            report, waiting, standby = run_audit(own, since)
    except CommandError as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None
    if as_json:
        facts = describe(report, waiting, standby)
        say_json(facts if provider is None else {**facts, "gateway": describe_comparison(provider)})
    else:
        show(console, report, waiting, standby)
        if provider is not None and provider.comparison is not None:
            show_comparison(console, provider, provider.comparison)
    if provider is not None and provider.error is not None:
        say(provider.error, err=True)
        raise typer.Exit(2)
    raise typer.Exit(1 if report.violations or (provider is not None and provider.differences) else 0)


def run_audit(settings: Settings, since_hours: float | None = None) -> tuple[AuditReport, int | None, Standby | None]:
    """Return the report, how many checkouts had a message waiting, and the standby that was audited.

    None are waiting when Redis did not answer; the standby is None for a primary.
    """
    # Before the snapshot: a checkout whose message leaves the queue in between has a new due time by then.
    try:
        with open_redis(settings) as client:
            waiting = read_waiting(client)
    except (RedisError, OSError):
        waiting = None
    ids = None if since_hours is None else ids_since(datetime.now(UTC) - timedelta(hours=since_hours))
    reader = connect_reader(settings, application_name="audit", pool_size=1, statement_timeout_seconds=0)
    try:
        report, standby = reader.read(
            lambda connection: take_report(connection, settings, queued=waiting or frozenset(), ids=ids)
        )
    finally:
        reader.close()
    return report, None if waiting is None else len(waiting), standby


def describe(report: AuditReport, waiting: int | None, standby: Standby | None) -> dict[str, Any]:
    """Return the report as one JSON object."""
    broken = {violation.invariant: violation for violation in report.violations}
    invariants = [
        {
            "name": invariant.name,
            "meaning": invariant.meaning,
            "kept": invariant.name not in broken,
            "count": broken[invariant.name].count if invariant.name in broken else 0,
            "rows": [_plain(row) for row in broken[invariant.name].rows] if invariant.name in broken else [],
        }
        for invariant in report.checked
    ]
    return {
        "violations": len(report.violations),
        "invariants": invariants,
        "skipped": [invariant.name for invariant in report.skipped],
        "needs_review": report.needs_review,
        "waiting": waiting,
        "standby": standby and asdict(standby),
    }


def show(console: Console, report: AuditReport, waiting: int | None, standby: Standby | None) -> None:
    """Print a line for each invariant, and the first rows of each that is violated."""
    broken = {violation.invariant: violation for violation in report.violations}
    width = max(len(invariant.name) for invariant in report.checked)
    for invariant in report.checked:
        violation = broken.get(invariant.name)
        verdict, style = ("ok", "green") if violation is None else ("BROKEN", "bold red")
        console.print(
            Text.assemble(
                (f"{verdict:<7}", style), (f"{invariant.name:<{width}}  ", "bold"), (invariant.meaning, "dim")
            )
        )
        if violation is None:
            continue
        for row in violation.rows[:SHOWN_ROWS]:
            facts = "  ".join(f"{name}={value}" for name, value in _plain(row).items())
            console.print(plain(f"       {facts}", "red"))
        if violation.count > SHOWN_ROWS:
            console.print(plain(f"       and {violation.count - SHOWN_ROWS} more", "red"))
    if report.skipped:
        names = ", ".join(invariant.name for invariant in report.skipped)
        console.print(plain(f"Not checked, as the tables of their gateway are in another database: {names}."))
    if standby is not None:
        console.print(plain(standby.sentence))
    if waiting is None:
        console.print("Redis did not answer: a checkout with a message in a queue is reported as overdue too.")
    found = f"{len(report.violations)} violated" if report.violations else "all hold"
    review = f"; checkouts that need review: {report.needs_review}" if report.needs_review else ""
    console.print(
        plain(f"{len(report.checked)} invariants, {found}{review}.", "bold red" if report.violations else "bold")
    )


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in row.items()}


def _plain_value(value: Any) -> Any:
    match value:
        case list():
            return [_plain_value(each) for each in value]
        case Decimal():  # PostgreSQL returns sums of bigint as numeric
            return int(value)
        case UUID():
            return str(value)
        case None | bool() | int() | str():
            return value
        case _:
            return value.isoformat(timespec="seconds")


if __name__ == "__main__":
    app()
