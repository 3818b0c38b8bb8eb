"""The engine at work, in under half a minute: `checkout demo [--json] [--keep] [--log FILE]`.

A sold-out rush, declined cards, a cancellation, a reservation that expires, a worker killed during a payment: on real
PostgreSQL, real Redis or Valkey and real worker processes, in databases of the demo's own. At the end everything is
counted and audited.

Exit codes: 0 all figures are right, 1 one is wrong, 2 the demo could not run, 130 Ctrl-C; it leaves nothing behind.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from pipeline.gateways.sandbox.settings import SandboxSettings
from pipeline.operations import CommandLine
from pipeline.operations.statistics import list_queues
from pipeline.settings import Settings
from scripts.audit import run_audit
from scripts.demonstration.buyers import stock_shop
from scripts.demonstration.figures import check_figures, describe, read_figures
from scripts.demonstration.story import Story, Stuck, choose_victim
from scripts.demonstration.view import Narrator, draw
from scripts.environments.command_errors import CommandError, explain_errors
from scripts.environments.ending import Ended, Ending
from scripts.environments.fleet import FleetLog, read_procfile, run_fleet
from scripts.environments.reaper import temporary_folder
from scripts.environments.scratch import name_database, open_scratch
from scripts.local_servers.embedded import Urls, serve
from scripts.terminal.output import Screen, plain, say, say_json
from workers.bootstrap import build_components
from workers.logs import configure_logs

#: The bank takes a moment for each answer. A lease outlasts the longest call, as it must, and expires during the demo;
#: a crashed worker is noticed as soon.
TIMES: Final[dict[str, Any]] = {
    "gateway_timeout_seconds": 3,
    "gateway_lease_seconds": 4,
    "sweep_interval_seconds": 0.5,
    "heartbeat_seconds": 5,
    "log_format": "json",
}
BANK_TIMES: Final[dict[str, Any]] = {"latency_seconds": 0.2, "hang_seconds": 3}

NEXT: Final = (
    (CommandLine.UP, "keep the engine running, one worker process for each queue"),
    (CommandLine.MONITOR_WATCH, "beside it: what is going on, each second"),
    (CommandLine.REPLAY_INVOICES, "a file of real invoices through the whole pipeline"),
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and no story.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's database on the server of DATABASE_URL.")
    ] = False,
    log: Annotated[Path | None, typer.Option(help="Keep what the workers print in this file.")] = None,
) -> None:
    """Show the engine at work: a rush, declines, a cancellation, an expiry, a killed worker; then the audit."""
    console = Screen(quiet=as_json)
    try:
        with Ending() as ending:
            try:
                facts = run(console, ending, log, keep=keep)
            except (CommandError, Stuck):
                # Ctrl-C reaches a process that is just being started, too: then what failed is not the reason.
                ending.check()
                raise
    except (CommandError, Stuck, Ended) as error:
        say(str(error), err=True)
        raise typer.Exit(error.code if isinstance(error, Ended) else 1 if isinstance(error, Stuck) else 2) from None
    if as_json:
        say_json(facts)
    raise typer.Exit(0 if facts["ok"] else 1)


def run(console: Console, ending: Ending, log: Path | None, *, keep: bool) -> dict[str, Any]:
    """Set everything up, play, count, report; remove everything again, whatever happens."""
    narrator = Narrator(console)
    with ExitStack() as stack:
        with explain_errors():
            given = Urls()
            if keep and not given.database_url:
                raise CommandError("--keep keeps the database on a server of yours: set DATABASE_URL first.")
            folder = stack.enter_context(temporary_folder("checkout-demo-"))
            fleet_log = FleetLog(log or folder / "workers.log")
            stack.callback(fleet_log.close)
            console.print(_introduce(given), soft_wrap=True)
            served = stack.enter_context(serve())
        ending.check()
        settings = set_times(stack.enter_context(open_scratch(served, "demo", keep=keep)))
        ending.check()
        configure_logs(settings.model_copy(update={"log_level": "warning"}))
        components = build_components(settings, "demo")
        stack.callback(components.close)
        with components.database.begin() as connection:
            stock_shop(connection)
        lines = group_lines(read_procfile())
        supervisor = stack.enter_context(run_fleet(settings, fleet_log, ending, lines=lines))
        narrator.say(f"Two databases and {len(lines)} processes of the engine are up.")
        try:
            cancellation, kill = Story(components, supervisor, ending, narrator).play()
        except Stuck as stuck:
            raise Stuck("\n".join((str(stuck), "The workers' last lines:", *fleet_log.tail))) from stuck
        figures = read_figures(components.database)
        report, _, _ = run_audit(settings)
        verdicts = check_figures(figures, report, cancellation, kill)
        holds = all(each.holds for each in verdicts)
        facts = describe(figures, report, cancellation, kill)
        kept = name_database(settings) if keep else None
        console.print()
        console.print(draw(verdicts))
        if not holds:
            for line in ("The workers' last lines:", *fleet_log.tail):
                say(line, err=True)
    console.print(_conclude(narrator.seconds, kept, holds=holds), soft_wrap=True)
    return {**facts, "kept": kept, "seconds": round(narrator.seconds, 1), "ok": holds}


def set_times(settings: Settings) -> Settings:
    """Return the settings of the demo: the engine's defaults and short times, whatever the environment says."""
    addresses = {"database_url", "redis_url", "read_url", "gateway"}
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name not in addresses}
    bank = {name: field.default for name, field in SandboxSettings.model_fields.items() if name != "database_url"}
    return settings.model_copy(update=defaults | TIMES).with_gateway_options(**bank | BANK_TIMES)


def group_lines(procfile: dict[str, str]) -> dict[str, str]:
    """Return the processes of the demo: the one to be killed, the scheduler, and one worker for all other queues.

    The Procfile has one process for each queue; starting them takes longer than the story.
    """
    victim = choose_victim()
    others = " ".join(queue for queue in list_queues() if queue != f"checkout.{victim}")
    return {
        "worker": f"dramatiq workers.main:build_broker -p 1 -t 4 --worker-shutdown-timeout 10000 -Q {others}",
        victim: procfile[victim],
        "scheduler": procfile["scheduler"],
    }


def _introduce(given: Urls) -> Text:
    urls = (("PostgreSQL", given.database_url), ("Redis", given.redis_url))
    wheels = " and ".join(name for name, url in urls if not url)
    owned = " and ".join(name for name, url in urls if url)
    places = [f"{wheels} from wheels" if wheels else "", f"an empty database on your {owned}" if owned else ""]
    return plain(f"Starting: {', '.join(filter(None, places))}, worker processes. Ctrl-C leaves nothing behind.")


def _conclude(seconds: float, kept: str | None, *, holds: bool) -> Text:
    verdict = ("All figures are right", "bold green") if holds else ("A figure is wrong", "bold red")
    lines = Text.assemble("\n", verdict, f", after {seconds:.0f} s.")
    if kept:
        lines.append(f" The database {kept} is kept.")
    lines.append(" Next, after `source .venv/bin/activate` where `checkout` is not found:\n")
    width = max(len(command) for command, _ in NEXT)
    for command, meaning in NEXT:
        lines.append(f"\n  {command:<{width}}  ", "bold").append(meaning, "dim")
    return lines


if __name__ == "__main__":
    app()
