"""Several hosts on one machine: `checkout cluster up`, `fault NAME`, `down`; `run` injects faults under load.

Each host is a network namespace. `run` brings a cluster up, lets buyers buy at both worker hosts, injects each fault,
heals it, and checks that no acknowledged order or commit is lost, none is doubled, and none is stuck. It needs root and
some packages, which it names and does not install; `docs/cluster.md` has them. Exit codes: 0 done, 1 something is lost
or stood still for too long, 2 it cannot run here.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Final

import typer

from scripts.command_table import COMMANDS
from scripts.distributed.control import ask, end, hold_state, serve
from scripts.distributed.layout import WORKER_HOSTS, name_bank_url, name_database_url, name_redis_url, name_web_url
from scripts.distributed.requirements import explain_missing
from scripts.environments.command_errors import CommandError, explain_errors
from scripts.environments.ending import Ended, Ending
from scripts.local_servers.embedded import EmbeddedError
from scripts.terminal.output import Screen, say, say_json

if TYPE_CHECKING:
    from scripts.distributed.cluster import Cluster, Report
    from scripts.distributed.proof.rounds import Outcome

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=COMMANDS["cluster"].help
)

#: In the order of a run. Their functions are imported to run one: 900 modules.
NAMES: Final = (
    "primary-off",
    "valkey-killed",
    "switchover",
    "primary-cut",
    "standby-cut",
    "standbys-killed",
    "etcd-lost",
    "worker-cut",
    "both-cut",
    "slow-line",
    "clock-off",
    "rolling-restart",
)


@app.command()
def up() -> None:
    """Build a cluster and keep it until Ctrl-C or `down`."""
    with explain_end(), Ending() as ending, hold_state() as write, ExitStack() as stack:
        cluster = _open(stack, ending, say)
        for line in list_addresses(cluster):
            say(line)
        say("Inject a fault with `checkout cluster fault NAME`; Ctrl-C or `checkout cluster down` ends everything.")
        address = cluster.folder / "control"
        write({"pid": os.getpid(), "socket": str(address)})
        with contextlib.suppress(Ended):
            serve(address, lambda name, report: _inject(cluster, name, report), ending)
        say("Ending; every process of every host is ended.")


@app.command()
def fault(name: Annotated[str, typer.Argument(help=f"One of {', '.join(NAMES)}.")]) -> None:
    """Inject a fault into the running cluster, heal it, and wait until the cluster is stable."""
    _check_names([name])
    with explain_end():
        ask(name, say)


@app.command()
def down() -> None:
    """End the running cluster: nothing of it is left."""
    with explain_end():
        say("The cluster has ended." if end() else "No cluster is up.")


@app.command()
def run(
    *,
    faults: Annotated[list[str] | None, typer.Option("--fault", help="Inject this one; all by default.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Inject faults under load, and check that nothing acknowledged is lost."""
    names = _check_names(faults or NAMES)
    outcomes: list[Outcome] = []

    def report(line: str) -> None:
        say(line, err=as_json)

    with explain_end(), Ending() as ending, ExitStack() as stack:
        cluster = _open(stack, ending, report)
        from scripts.distributed.proof.rounds import run_faults  # noqa: PLC0415 (900 modules)

        # Closed before the cluster: until then this thread is in the buyers' namespace.
        for outcome in stack.enter_context(contextlib.closing(run_faults(cluster, names, report, rounds=rounds))):
            outcomes.append(outcome)
            for objection in outcome.list_objections():
                report(f"  NOT SO: {objection}")
    _show(Screen(stderr=as_json), outcomes)
    objections = [each for outcome in outcomes for each in outcome.list_objections()]
    if as_json:
        say_json({"faults": [each.describe() for each in outcomes], "objections": objections})
    raise typer.Exit(1 if objections else 0)


def list_addresses(cluster: "Cluster") -> list[str]:
    """Return the environment for a process on one of the hosts, and how to be on one."""
    return [
        f"DATABASE_URL={name_database_url('postgres')}",
        f"REDIS_URL={name_redis_url()}",
        f"CHECKOUT_SANDBOX_DATABASE_URL={name_bank_url()}",
        "CHECKOUT_GATEWAY=sandbox",
        *(f"HTTP edge of {name}: {name_web_url(name)}" for name in WORKER_HOSTS),
        *(f"On {name}: nsenter --net=/proc/{host.pid}/ns/net COMMAND" for name, host in cluster.network.hosts.items()),
    ]


@contextlib.contextmanager
def explain_end() -> Iterator[None]:
    """Turn what keeps a command from its work into a sentence and exit code 2, and a signal into its exit code."""
    try:
        with explain_errors():
            yield
    except Ended as ended:
        say(str(ended), err=True)
        raise typer.Exit(ended.code) from None
    except (CommandError, EmbeddedError) as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None


def _open(stack: ExitStack, ending: Ending, report: "Report") -> "Cluster":
    if missing := explain_missing():
        raise CommandError(missing)
    from scripts.distributed.cluster import open_cluster  # noqa: PLC0415 (900 modules)

    return stack.enter_context(open_cluster(ending, report))


def _inject(cluster: "Cluster", name: str, report: "Report") -> None:
    from scripts.distributed.proof.rounds import inject_alone  # noqa: PLC0415 (900 modules)

    inject_alone(cluster, name, report)


def _check_names(names: list[str] | tuple[str, ...]) -> list[str]:
    if unknown := [name for name in names if name not in NAMES]:
        raise typer.BadParameter(f"There is no fault {', '.join(unknown)}; there are {', '.join(NAMES)}.")
    return list(names)


def _show(console: Screen, outcomes: "list[Outcome]") -> None:
    from rich.table import Table  # noqa: PLC0415 (only here)

    table = Table(box=None, pad_edge=False)
    for heading in ("fault", "s without", "bound", "commits lost", "orders lost", "doubled", "stuck", "resent"):
        table.add_column(heading, no_wrap=heading == "fault")
    for each in outcomes:
        verdict = each.verdict
        counts = (verdict.commits_lost, verdict.orders_lost, verdict.orders_doubled, verdict.stuck)
        figures = (f"{each.gap_seconds:.1f}", f"{each.bound_seconds:g}", *counts, each.redelivered_messages)
        table.add_row(each.fault, *(map(str, figures) if not each.skipped else (f"skipped: {each.skipped}",)))
    console.print(table)


if __name__ == "__main__":
    app()
