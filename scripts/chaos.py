"""Breaks everything while buyers buy, and proves that nothing was lost: `checkout chaos --checkouts 2000`.

Real servers of its own, real worker processes, a bank that fails; faults at moments that the seed chooses. No message
may be in a queue before the commit that it follows. At the end every client's history is compared with the books,
everything ever sent is sent again, and the audit runs. Exit codes: 0 no invariant is violated, 1 one is (or the
run proves nothing), 2 it cannot be run here.
"""

import random
import threading
import time
from contextlib import ExitStack
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from scripts.environments.ending import Ended, Ending
from scripts.environments.fleet import FleetLog
from scripts.environments.obstacles import Obstacle, explain_obstacles
from scripts.environments.reaper import temporary_folder
from scripts.faults.doorman import Doorman
from scripts.faults.faults import FAULTS, GATEWAY, KINDS, Tormentor, plan_faults
from scripts.faults.judge import (
    Verdict,
    describe,
    judge,
    post_webhooks,
    read_witnesses,
    wait_for_end,
    wait_for_progress,
)
from scripts.faults.listener import Listener
from scripts.faults.load import ChaosLoad, plan_buyers, stock_shop
from scripts.faults.place import Place, open_place
from scripts.local_servers.embedded import EmbeddedError
from scripts.terminal.output import Screen, say, say_json
from workers.broker.batch_broker import BatchBroker

#: How often a call to the bank goes wrong, in a way that passes.
GATEWAY_RATE: Final = 0.05
#: Checkouts for each round of all faults: a round takes about two minutes at the defaults.
PER_DECK: Final = 5000
#: How many should be under way when a fault comes, and how long is waited for them.
WITNESSES: Final = 5
SEEK_SECONDS: Final = 3.0
#: A run in which fewer come through has proven little.
LEAST_COMPLETED: Final = 0.6
#: After the last buyer and the last fault. What is still under way then is stuck.
END_SECONDS: Final = 240.0

# Of each call that went wrong our own books keep the attempt, or the error.
FAILED_CALLS: Final = text("SELECT count(*) FROM payment_operations WHERE attempts > 0 OR last_error IS NOT NULL")

Injected = list[tuple[str, str, float | None]]


def main(
    *,
    checkouts: Annotated[int, typer.Option(min=50, help="How many buyers come.")] = 2000,
    seed: Annotated[int | None, typer.Option(help="Repeats a run; drawn without one.")] = None,
    faults: Annotated[str, typer.Option(help=f"Comma-separated, or all: {', '.join(KINDS)}.")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Break things, and count what came of it."""
    console = Screen(stderr=as_json)
    kinds = _read_kinds(faults)
    chosen = random.SystemRandom().randrange(2**31) if seed is None else seed
    console.print(f"seed {chosen}: {checkouts} buyers, {len(kinds)} kinds of faults")
    try:
        with Ending() as ending, explain_obstacles():
            verdict, injected, failed_calls = torment(checkouts, chosen, kinds, ending, console)
    except Ended as ended:
        console.print(str(ended))
        raise typer.Exit(ended.code) from None
    except (Obstacle, EmbeddedError) as obstacle:
        say(str(obstacle), err=True)
        raise typer.Exit(2) from None
    report = describe(verdict, injected, failed_calls) | {"seed": chosen}
    objections = object_to(verdict, report, kinds)
    show(console, verdict, injected, report, objections)
    if as_json:
        say_json(report | {"objections": objections})
    raise typer.Exit(1 if objections else 0)


def torment(
    count: int, seed: int, kinds: tuple[str, ...], ending: Ending, console: Console
) -> tuple[Verdict, Injected, int]:
    """Run one seed; returns the verdict, what was injected, and how many calls to the bank went wrong."""
    plan = plan_faults(seed, kinds, count, decks=max(1, round(count / PER_DECK)))
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("chaos-"))
        log = FleetLog(folder / "fleet.log")
        stack.callback(log.close)
        rate = GATEWAY_RATE if GATEWAY in kinds else 0.0
        place = stack.enter_context(open_place(ending, seed, log, fault_rate=rate))
        stock_shop(place, count)
        doorman = Doorman(count, [moment for moment, _ in plan])
        load = ChaosLoad(place, plan_buyers(seed, count), doorman.room)
        stack.callback(load.close)
        buying = threading.Thread(target=load.run, name="load")
        buying.start()
        stack.callback(load.stop)
        mail = Mailman(place)
        mail.start()
        stack.callback(mail.stop)
        broker = BatchBroker(url=place.valkey.url, on_refused=_drop)
        stack.callback(broker.close)
        listener = Listener(place.settings)
        listener.start()
        stack.callback(listener.stop)
        dice = random.Random(f"dice-{seed}")  # noqa: S311 (repeats a run, guards nothing)
        tormentor = Tormentor(place, dice, broker, doorman.call_buyer, listener.announce)
        injected: Injected = []
        for moment, kind in plan:
            while load.sent < min(moment, doorman.room()) and buying.is_alive():
                ending.sleep(0.02)
            witnesses = seek_witnesses(place, ending)
            told = FAULTS[kind](tormentor)
            doorman.note_fault()
            seconds = wait_for_progress(place, witnesses, ending)
            injected.append((kind, told, seconds))
            felt = "no witness" if seconds is None else f"all {len(witnesses)} went on within {seconds:.1f} s"
            console.print(f"{load.sent:6} buyers  {kind}: {told}; {felt}")
        while buying.is_alive():
            ending.sleep(0.1)
        mail.stop()
        if load.errors:
            raise load.errors[0]
        wait_for_end(place, ending, END_SECONDS)
        listener.stop()
        console.print("All have come; everything ever sent is sent again.")
        verdict = judge(place, load.history, ending, replay_seconds=END_SECONDS)
        verdict.hear(listener)
        with place.database.connect() as connection:
            failed_calls = connection.execute(FAILED_CALLS).scalar_one() if rate else 0
        return verdict, injected, failed_calls


def seek_witnesses(place: Place, ending: Ending) -> dict[UUID, str]:
    """Return how what is under way stands; waits a moment for some to be there."""
    ends_at = time.monotonic() + SEEK_SECONDS
    while len(found := read_witnesses(place)) < WITNESSES and time.monotonic() < ends_at:
        ending.sleep(0.05)
    return found


class Mailman(threading.Thread):
    """Brings the bank's webhooks to the edge, until stopped."""

    def __init__(self, place: Place) -> None:
        """Begin with the first."""
        super().__init__(name="mail", daemon=True)
        self._place, self._ending = place, threading.Event()

    def run(self) -> None:
        """Post what is new, each second; what was not taken is posted again."""
        after_id = 0
        while not self._ending.wait(1):
            after_id = post_webhooks(self._place, after_id)

    def stop(self) -> None:
        """Post no more. Safe twice."""
        self._ending.set()
        if self.is_alive():
            self.join(60)


def object_to(verdict: Verdict, report: dict[str, object], kinds: tuple[str, ...]) -> list[str]:
    """Return what keeps the run from being a proof; nothing when no invariant is violated, and all was tried."""
    fired = report["faults"]
    objections = list(verdict.violations)
    counts = {name: getattr(verdict, name) for name in ("lost", "stuck", "needs_review", "gave_up")}
    objections += [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    if verdict.completed < LEAST_COMPLETED * verdict.checkouts:
        objections.append(f"only {verdict.completed} of {verdict.checkouts} completed: the run proves little")
    objections += [f"{kind} has never happened" for kind in kinds if isinstance(fired, dict) and kind not in fired]
    return objections


def show(
    console: Console, verdict: Verdict, injected: Injected, report: dict[str, object], objections: list[str]
) -> None:
    """Print what was injected, what came of it, and how long it was felt."""
    table = Table("fault", "times", "slowest recovery", box=None, pad_edge=False)
    fired = report["faults"]
    for kind, times in fired.items() if isinstance(fired, dict) else ():
        felt = [seconds for name, _, seconds in injected if name == kind and seconds is not None]
        table.add_row(kind, str(times), f"{max(felt):.1f} s" if felt else "-")
    console.print(table)
    console.print(f"states: {', '.join(f'{state} {count}' for state, count in sorted(verdict.states.items()))}")
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


def _read_kinds(faults: str) -> tuple[str, ...]:
    names = KINDS if faults == "all" else tuple(name.strip() for name in faults.split(",") if name.strip())
    if unknown := sorted(set(names) - set(KINDS)):
        raise typer.BadParameter(f"There is no fault {', '.join(unknown)}; there are {', '.join(KINDS)}.")
    return tuple(names)


def _drop(_refusal: object) -> None:
    """Refuse nothing: this broker only sends."""


if __name__ == "__main__":
    typer.run(main)
