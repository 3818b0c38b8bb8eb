"""Injects faults while buyers buy, and proves that nothing was lost: `checkout chaos --checkouts 2000`.

It starts its own servers and worker processes, and a bank that fails; the seed chooses the moments of the faults. Of
the placed orders more than half are refunded, cancelled, restocked, sent or disputed meanwhile. No message may be in a
queue before the commit that it follows. At the end every client's history is compared with the database and the bank,
every message and webhook is sent again, and the audit runs. Exit codes: 0 no invariant is violated, 1 one is
(or the run proves nothing), 2 it cannot run here.
"""

import random
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from scripts.environments.command_errors import CommandError, explain_errors
from scripts.environments.ending import Ended, Ending
from scripts.environments.fleet import FleetLog
from scripts.environments.reaper import temporary_folder
from scripts.faults.after_sales import AfterSales
from scripts.faults.arrivals import ArrivalLimit
from scripts.faults.faults import FAULTS, GATEWAY, KINDS, FaultInjector, plan_faults
from scripts.faults.listener import Listener
from scripts.faults.load import ChaosLoad, plan_buyers, stock_shop
from scripts.faults.place import Place, open_place
from scripts.faults.verification import (
    Verdict,
    describe,
    post_webhooks,
    read_witnesses,
    verify_run,
    wait_for_end,
    wait_for_progress,
)
from scripts.local_servers.embedded import EmbeddedError
from scripts.terminal.output import Screen, say, say_json
from workers.broker.batch_broker import BatchBroker

#: The share of calls to the bank that fail temporarily.
GATEWAY_RATE: Final = 0.05
#: Checkouts for each round of all faults: a round takes about two minutes at the defaults.
CHECKOUTS_PER_ROUND: Final = 5000
#: How many checkouts should be under way when a fault comes, and the longest wait for them.
WITNESSES: Final = 5
SEEK_SECONDS: Final = 3.0
#: A run in which a smaller share completes has proven little.
MIN_COMPLETED_SHARE: Final = 0.6
#: After the last buyer and the last fault. A checkout that is still under way then is stuck.
END_SECONDS: Final = 240.0

# The database keeps the attempt, or the error, of each call that failed.
FAILED_CALLS: Final = text("SELECT count(*) FROM payment_operations WHERE attempts > 0 OR last_error IS NOT NULL")

Injected = list[tuple[str, str, float | None]]


def main(
    *,
    checkouts: Annotated[int, typer.Option(min=50, help="How many buyers buy.")] = 2000,
    seed: Annotated[int | None, typer.Option(help="Repeats the run that printed it; random by default.")] = None,
    faults: Annotated[str, typer.Option(help=f"Comma-separated, or all: {', '.join(KINDS)}.")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Inject faults, and check that nothing is lost."""
    console = Screen(stderr=as_json)
    kinds = _read_kinds(faults)
    chosen = random.SystemRandom().randrange(2**31) if seed is None else seed
    console.print(f"seed {chosen}: {checkouts} buyers, {len(kinds)} kinds of faults")
    try:
        with Ending() as ending, explain_errors():
            verdict, injected, failed_calls = run_seed(checkouts, chosen, kinds, ending, console)
    except Ended as ended:
        console.print(str(ended))
        raise typer.Exit(ended.code) from None
    except (CommandError, EmbeddedError) as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None
    report = describe(verdict, injected, failed_calls) | {"seed": chosen}
    objections = find_objections(verdict, report, kinds)
    show(console, verdict, injected, report, objections)
    if as_json:
        say_json(report | {"objections": objections})
    raise typer.Exit(1 if objections else 0)


def run_seed(
    count: int, seed: int, kinds: tuple[str, ...], ending: Ending, console: Console
) -> tuple[Verdict, Injected, int]:
    """Run one seed; return the verdict, the injected faults, and how many calls to the bank failed."""
    plan = plan_faults(seed, kinds, count, rounds=max(1, round(count / CHECKOUTS_PER_ROUND)))
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("chaos-"))
        log = FleetLog(folder / "fleet.log")
        stack.callback(log.close)
        rate = GATEWAY_RATE if GATEWAY in kinds else 0.0
        place = stack.enter_context(open_place(ending, seed, log, fault_rate=rate))
        stock_shop(place, count)
        arrivals = ArrivalLimit(count, [moment for moment, _ in plan])
        load = ChaosLoad(place, plan_buyers(seed, count), arrivals.count_allowed)
        stack.callback(load.close)
        buying = threading.Thread(target=load.run, name="load")
        buying.start()
        stack.callback(load.stop)
        webhooks = WebhookPoster(place)
        webhooks.start()
        stack.callback(webhooks.stop)
        after_sales = AfterSales(place, seed)
        stack.callback(after_sales.stop)
        after_sales.start()
        broker = BatchBroker(url=place.valkey.url, on_refused=_drop)
        stack.callback(broker.close)
        listener = Listener(place.settings)
        listener.start()
        stack.callback(listener.stop)
        rng = random.Random(f"dice-{seed}")  # noqa: S311 (repeats a run, guards nothing)
        injector = FaultInjector(place, rng, broker, arrivals.allow_one_more, listener.announce)
        injected: Injected = []
        for moment, kind in plan:
            while load.sent < min(moment, arrivals.count_allowed()) and buying.is_alive():
                ending.sleep(0.02)
            witnesses = seek_witnesses(place, ending)
            detail = FAULTS[kind](injector)
            arrivals.note_fault()
            seconds = wait_for_progress(place, witnesses, ending)
            injected.append((kind, detail, seconds))
            recovery = "no witness" if seconds is None else f"all {len(witnesses)} went on within {seconds:.1f} s"
            console.print(f"{load.sent:6} buyers  {kind}: {detail}; {recovery}")
        while buying.is_alive():
            ending.sleep(0.1)
        if load.errors:
            raise load.errors[0]
        finish_orders(place, after_sales, ending)
        webhooks.stop()
        listener.stop()
        console.print("All buyers have come; every message and webhook is sent again.")
        verdict = verify_run(place, load.history, after_sales.history, ending, replay_seconds=END_SECONDS)
        verdict.add_early_messages(listener)
        with place.database.connect() as connection:
            failed_calls = connection.execute(FAILED_CALLS).scalar_one() if rate else 0
        return verdict, injected, failed_calls


def seek_witnesses(place: Place, ending: Ending) -> dict[UUID, str]:
    """Return the position of each checkout under way; wait a moment until there are some."""
    ends_at = time.monotonic() + SEEK_SECONDS
    while len(found := read_witnesses(place)) < WITNESSES and time.monotonic() < ends_at:
        ending.sleep(0.05)
    return found


def finish_orders(place: Place, after_sales: AfterSales, ending: Ending) -> None:
    """Wait until all checkouts have ended, then until the changes of the last orders have."""
    wait_for_end(place, ending, END_SECONDS)
    after_sales.finish(ending, END_SECONDS)
    if after_sales.errors:
        raise after_sales.errors[0]
    wait_for_end(place, ending, END_SECONDS)


class WebhookPoster(threading.Thread):
    """Posts the bank's webhooks to the HTTP edge, until stopped."""

    def __init__(self, place: Place) -> None:
        """Begin with the first webhook."""
        super().__init__(name="webhooks", daemon=True)
        self._place, self._ending = place, threading.Event()

    def run(self) -> None:
        """Post new webhooks each second; a refused one is posted again."""
        after_id = 0
        while not self._ending.wait(1):
            after_id = post_webhooks(self._place, after_id)

    def stop(self) -> None:
        """Stop posting. Idempotent."""
        self._ending.set()
        if self.is_alive():
            self.join(60)


def find_objections(verdict: Verdict, report: dict[str, object], kinds: tuple[str, ...]) -> list[str]:
    """Return why the run proves nothing; empty when no invariant is violated and every fault was injected."""
    fired = report["faults"]
    objections = [*verdict.violations, *verdict.orders.list_objections()]
    counts = {name: getattr(verdict, name) for name in ("lost", "stuck", "needs_review", "gave_up")}
    objections += [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    if verdict.completed < MIN_COMPLETED_SHARE * verdict.checkouts:
        objections.append(f"only {verdict.completed} of {verdict.checkouts} completed: the run proves little")
    objections += [f"{kind} has never happened" for kind in kinds if isinstance(fired, dict) and kind not in fired]
    return objections


def show(
    console: Console, verdict: Verdict, injected: Injected, report: dict[str, object], objections: list[str]
) -> None:
    """Print the injected faults, the final states, and the recovery times."""
    table = Table("fault", "times", "slowest recovery", box=None, pad_edge=False)
    fired = report["faults"]
    for kind, times in fired.items() if isinstance(fired, dict) else ():
        times_felt = [seconds for name, _, seconds in injected if name == kind and seconds is not None]
        table.add_row(kind, str(times), f"{max(times_felt):.1f} s" if times_felt else "-")
    console.print(table)
    console.print(f"states: {_list_counts(verdict.states)}")
    orders = verdict.orders
    console.print(
        f"changes of orders: {orders.asked} asked for, {orders.refused} refused; {_list_counts(orders.states)};"
        f" {orders.dashboard_refunds} refunds and {orders.disputes} disputes at the bank"
    )
    console.print(
        f"recovery: p50 {report['recovery_p50_seconds']} s, p95 {report['recovery_p95_seconds']} s,"
        f" max {report['recovery_max_seconds']} s"
    )
    for objection in objections:
        console.print(f"NOT SO: {objection}")
    console.print(
        f"lost {verdict.lost}, stuck {verdict.stuck}, needs review {verdict.needs_review}, audit violations"
        f" {verdict.audit_violations}: {'something is wrong' if objections else 'no invariant is violated'}."
    )


def _list_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _read_kinds(faults: str) -> tuple[str, ...]:
    names = KINDS if faults == "all" else tuple(name.strip() for name in faults.split(",") if name.strip())
    if unknown := sorted(set(names) - set(KINDS)):
        raise typer.BadParameter(f"There is no fault {', '.join(unknown)}; there are {', '.join(KINDS)}.")
    return tuple(names)


def _drop(_refusal: object) -> None:
    """Ignore a rejected message: this broker only sends."""


if __name__ == "__main__":
    typer.run(main)
