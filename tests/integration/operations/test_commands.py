"""`cleanup`, `diagnose`, `release`, `retry` as an operator types them."""

import getpass
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer
from typer.testing import CliRunner, Result

from pipeline.settings import Settings
from scripts import audit, checkouts, cleanup, diagnose, release, retry
from scripts.cli import app as one_command
from scripts.local_servers.embedded import ROOT
from tests.support.harness import Shelf, Works

PLAYING = "Payments go to sandbox (play money: nothing is charged)."


@pytest.fixture
def cup(works: Works, shelf: Shelf, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Works:
    """A shop that has cups, found by the commands."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_GATEWAY", settings.gateway)
    shelf.add_variant("cup", stock=9, price_minor=250)
    return works


def run(main: Callable[..., None], *arguments: object) -> Result:
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(each) for each in arguments])


def start(works: Works, shelf: Shelf, **others: Any) -> UUID:
    checkout_id = works.start(shelf.add_cart(("cup", 1)), **others)
    works.pump()
    return checkout_id


def test_cleanup_expires_what_has_run_out_of_time(cup: Works, shelf: Shelf) -> None:
    # Given
    ids = [start(cup, shelf) for _ in range(3)]
    shelf.run("UPDATE checkouts SET expires_at = now() WHERE id <> :id", id=ids[0])
    # When
    command = [sys.executable, "-m", "scripts.cleanup", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    # Then it prints one object, and nothing else
    assert (done.returncode, done.stderr, json.loads(done.stdout)["expired"]) == (0, "", 2)
    assert cup.states(ids) == ["awaiting_payment", "unwinding", "unwinding"]
    assert "expired\t0" in run(cleanup.main).stdout.splitlines()
    cup.unwinder.run(ids[1:])
    assert cup.states(ids) == ["awaiting_payment", "expired", "expired"]


def test_diagnose_says_that_all_is_well_and_what_is_not(cup: Works, shelf: Shelf) -> None:
    cup.sweep()
    well = run(diagnose.main)
    assert (well.exit_code, well.stdout) == (0, f"{PLAYING}\n27 of 27 checks passed.\n")
    # When the sweep stands still, and a message was refused
    shelf.run("UPDATE heartbeats SET at = now() - interval '1 h'")
    shelf.run("INSERT INTO rejected_messages (queue, body, code, message) VALUES ('q', 'b', 'c', 'm')")
    # Then
    bad = run(diagnose.main)
    assert bad.exit_code == 1
    assert bad.stdout.splitlines() == [
        PLAYING,
        "critical: The sweep has not run for a minute: start the scheduler.",
        "  python -m workers.scheduler",
        "warning: 1 message was rejected as invalid: see the table rejected_messages.",
        "  psql -c 'SELECT code, message, count(*) FROM rejected_messages GROUP BY 1, 2'",
        "25 of 27 checks passed.",
    ]
    found = json.loads(run(diagnose.main, "--json").stdout)
    assert [each["code"] for each in found if each["severity"] != "ok"] == ["messages_refused", "sweep_stopped"]


def test_show_reports_everything_about_one(cup: Works, shelf: Shelf) -> None:
    checkout_id = start(cup, shelf, token="tok_ok", reference="4711")
    told = run(diagnose.main, "--checkout", checkout_id)
    assert told.exit_code == 0
    for part in (
        "state\tcompleted",
        "reference\t4711",
        "payment operations",
        "capture\t1\tsucceeded",
        "checkout.started",
    ):
        assert part in told.stdout
    assert told.stdout.splitlines()[-1].startswith("It is order ")
    whole = json.loads(run(diagnose.main, "--checkout", checkout_id, "--json").stdout)
    assert whole["checkout"]["state"] == "completed"
    assert [each["kind"] for each in whole["payment_operations"]] == ["open", "authorize", "capture"]
    unknown = run(diagnose.main, "--checkout", uuid4())
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("There is no checkout ")


def test_checkouts_are_found_and_paged(cup: Works, shelf: Shelf) -> None:
    # Given
    bought = start(cup, shelf, token="tok_ok", reference="4711")
    waiting = start(cup, shelf)
    # When, then
    lines = run(checkouts.main).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(waiting), str(bought)]
    number = cup.status(bought).order_number
    assert lines[1].split("\t")[2:] == ["completed", "shop-1", "2.50 EUR", str(number), "-", "4711"]
    first = run(checkouts.main, "--limit", 1)
    assert first.stderr == f"There are more: --before {waiting}\n"
    found = json.loads(run(checkouts.main, "--before", waiting, "--json").stdout)
    assert ([each["id"] for each in found["checkouts"]], found["next_before"]) == ([str(bought)], None)
    assert run(checkouts.main, "--state", "failed").stdout == ""
    assert run(checkouts.main, "--since", "2100-01-01").stdout == ""
    assert run(checkouts.main, "--state", "nothing").exit_code == 2


def test_release_undoes_and_stores_the_actor_and_the_reason(cup: Works, shelf: Shelf) -> None:
    # Given
    checkout_id = start(cup, shelf)
    # When
    released = run(release.main, checkout_id, "--reason", "the buyer called", "--actor", "ada")
    # Then
    assert (released.exit_code, released.stdout) == (0, f"Checkout {checkout_id} is released and is unwinding now.\n")
    cup.unwinder.run([checkout_id])
    assert (cup.states([checkout_id]), shelf.stock("cup")) == (["cancelled"], (9, 0))
    told = shelf.rows("SELECT data FROM events WHERE kind = 'checkout.released'")
    assert told == [({"actor": "ada", "reason": "the buyer called"},)]
    again = run(release.main, checkout_id, "--reason", "again")
    assert (again.exit_code, again.stdout) == (
        0,
        f"Checkout {checkout_id} is cancelled already: nothing was changed.\n",
    )
    assert len(shelf.rows("SELECT FROM events WHERE kind = 'checkout.released'")) == 1


def test_release_is_refused_while_the_payment_is_captured(cup: Works, shelf: Shelf) -> None:
    checkout_id = start(cup, shelf)
    shelf.run("UPDATE checkouts SET pivot_at = now()")
    before = shelf.rows("SELECT count(*) FROM events")
    refused = run(release.main, checkout_id, "--reason", "x")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"The payment of checkout {checkout_id} is being captured: wait for its order, then cancel that.\n"
    )
    assert (cup.states([checkout_id]), shelf.rows("SELECT count(*) FROM events")) == (["awaiting_payment"], before)


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, "a\x00b"])
def test_a_reason_is_needed(cup: Works, shelf: Shelf, reason: str) -> None:
    checkout_id = start(cup, shelf)
    for main in (release.main, retry.main):
        assert run(main, checkout_id, "--reason", reason).exit_code == 2
        assert run(main, checkout_id).exit_code == 2
    assert cup.states([checkout_id]) == ["awaiting_payment"]


def test_retry_continues_what_needs_review(cup: Works, shelf: Shelf) -> None:
    # Given
    checkout_id = start(cup, shelf, token="tok_ok+tok_capture_misconfigured")
    for _ in range(30):
        if cup.states([checkout_id]) == ["needs_review"]:
            break
        shelf.run("UPDATE checkouts SET due_at = now() WHERE due_reason = 'scheduled'")
        shelf.run("UPDATE payment_operations SET updated_at = now() - interval '1 h', leased_until = NULL")
        cup.sweep()
        cup.pump()
    assert cup.states([checkout_id]) == ["needs_review"]
    # When the bank accepts again, and the checkout is retried
    shelf.run("UPDATE payments SET token = 'tok_ok'")
    sent = run(retry.main, checkout_id, "--reason", "keys corrected")
    # Then
    assert (sent.exit_code, sent.stdout) == (0, f"Checkout {checkout_id} goes on and is running now.\n")
    told = shelf.rows("SELECT data FROM events WHERE kind = 'checkout.retried'")
    assert told == [({"actor": getpass.getuser(), "reason": "keys corrected"},)]
    nothing = run(retry.main, checkout_id, "--reason", "again")
    assert nothing.exit_code == 1
    assert nothing.stderr.endswith("needs no review: there is nothing to retry.\n")


@pytest.mark.parametrize("main", [release.main, retry.main], ids=["release", "retry"])
def test_an_unknown_one_is_refused(cup: Works, main: Callable[..., None]) -> None:
    refused = run(main, uuid4(), "--reason", "x")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("There is no checkout ")


def test_a_database_that_is_away_is_said_in_a_sentence(cup: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    for main, arguments in ((cleanup.main, ()), (diagnose.main, ()), (release.main, (uuid4(), "--reason", "x"))):
        result = run(main, *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("The database did not answer: ")


def test_checkouts_show_is_diagnose_of_one(cup: Works, shelf: Shelf) -> None:
    checkout_id = start(cup, shelf)
    shown = CliRunner().invoke(one_command, ["checkouts", "show", str(checkout_id), "--json"])
    diagnosed = run(diagnose.main, "--checkout", checkout_id, "--json")
    assert (shown.exit_code, diagnosed.exit_code) == (0, 0)
    told, other = json.loads(shown.stdout), json.loads(diagnosed.stdout)
    assert (told["standing"].pop("now"), other["standing"].pop("now")) != (None, None)
    assert told == other
    assert told["advice"][0]["command"] == f"checkout checkouts release {checkout_id} --reason TEXT"
    unknown = CliRunner().invoke(one_command, ["checkouts", "show", str(uuid4())])
    assert (unknown.exit_code, unknown.stdout) == (1, "")


def test_reconcile_is_the_audit_with_the_gateway(cup: Works, shelf: Shelf) -> None:
    start(cup, shelf)
    cup.sweep()
    reconciled = CliRunner().invoke(one_command, ["reconcile", "--hours", "2"])
    audited = CliRunner().invoke(audit.app, ["--gateway", "--hours", "2"])
    assert (reconciled.exit_code, audited.exit_code) == (0, 0), reconciled.output
    # ... but for the moment since which was compared, in the last line
    assert reconciled.stdout.splitlines()[:-1] == audited.stdout.splitlines()[:-1]
    assert ", since 20" in reconciled.stdout.splitlines()[-1]


def test_the_advice_that_is_shown_is_carried_out(cup: Works, shelf: Shelf) -> None:
    # Given what `checkouts show` advises
    checkout_id = start(cup, shelf)
    shown = CliRunner().invoke(one_command, ["checkouts", "show", str(checkout_id), "--json"])
    program, *arguments = json.loads(shown.stdout)["advice"][0]["command"].split()
    # When it is typed
    released = CliRunner().invoke(one_command, arguments)
    # Then
    assert (program, released.exit_code) == ("checkout", 0)
    assert released.stdout == f"Checkout {checkout_id} is released and is unwinding now.\n"
