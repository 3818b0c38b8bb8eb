"""Reports what is wrong, and the command for it: `checkout diagnose [--checkout ID]`. Reads only.

Exit codes: 0 nothing critical, or the checkout was shown; 1 something critical, or no such checkout; 2 the database
cannot be reached.
"""

import contextlib
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from pipeline.operations import advise, diagnose, read_detail
from pipeline.operations.advice import describe
from pipeline.operations.diagnostics import Diagnosis, Severity, judge_gateway, judge_queues, judge_replication
from pipeline.operations.replication import read_replication
from scripts.environments.command_errors import open_redis
from scripts.environments.command_transaction import REFUSED, open_transaction, print_rows
from scripts.terminal.output import say, say_json
from workers.broker.redis_client import find_master
from workers.overview import read_queues


def main(
    *,
    checkout: Annotated[UUID | None, typer.Option(help="Report everything about this checkout.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=8760, help="How far back ended checkouts count.")] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Diagnose the engine, or one checkout, and recommend what to do."""
    if checkout is not None:
        show_checkout(checkout, as_json=as_json)
        return
    with open_transaction("diagnose") as (connection, settings):
        gateway = judge_gateway(settings)
        replication = read_replication(connection)
        findings = [gateway, *diagnose(connection, settings, hours=hours), *judge_replication(replication)]
        with contextlib.closing(open_redis(settings)) as client:
            findings += judge_queues(read_queues(client))
            master = find_master(client)
        masters = [] if master is None else [f"The Redis master is {master}, as the Sentinels say."]
        findings += [Diagnosis("redis_master", Severity.OK, 0, each) for each in masters]
    if as_json:
        say_json([asdict(each) for each in findings])
    else:
        for sentence in (gateway.sentence, *replication.sentences, *masters):
            say(sentence)
        print_findings(findings)
    if any(each.severity is Severity.CRITICAL for each in findings):
        raise typer.Exit(REFUSED)


def show_checkout(checkout_id: UUID, *, as_json: bool) -> None:
    """Print everything about one checkout, then what to do."""
    with open_transaction("diagnose") as (connection, settings):
        detail = read_detail(connection, checkout_id)
        advice = advise(detail, settings)
    if as_json:
        say_json(describe(detail, advice))
        return
    status = detail.status
    facts = [
        (name, value) for name, value in asdict(status).items() if value is not None and not isinstance(value, dict)
    ]
    print_rows(("what", "is"), [*facts, *detail.standing.items()])
    for name, reason in (("failure", status.failure), ("review", status.review)):
        if reason is not None:
            say()
            say(f"{name}: {reason.message}")
    for section in detail.sections:
        if section.rows:
            say()
            say(section.title)
            print_rows(section.columns, section.rows)
    say()
    for each in advice:
        say(each.sentence)
        if each.command is not None:
            say(f"  {each.command}")


def print_findings(findings: list[Diagnosis]) -> None:
    """Print the findings, the worst first, and in one line how many checks passed."""
    order = list(reversed(Severity))
    bad = sorted(
        (each for each in findings if each.severity is not Severity.OK), key=lambda each: order.index(each.severity)
    )
    for each in bad:
        say(f"{each.severity}: {each.sentence}")
        if each.command is not None:
            say(f"  {each.command}")
    say(f"{len(findings) - len(bad)} of {len(findings)} checks passed.")


if __name__ == "__main__":
    typer.run(main)
