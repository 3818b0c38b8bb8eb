"""`scripts/audit.py --gateway` as an operator runs it."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, text

from pipeline.audit.report import list_invariants
from pipeline.reconciliation import FindingKind
from pipeline.settings import Settings
from tests.acceptance.auditor import CONSISTENT_ROWS, run, write
from tests.integration.reconciliation.counter import adopt, bank_entries, check_out, make_object
from tests.support.harness import Shelf, build_works
from tests.support.workbench import take_snapshot

pytestmark = pytest.mark.acceptance

KINDS: Final = [kind.value for kind in FindingKind]
FAILED: Final = "00000000-0000-7000-8000-000000000002"

#: A second, open object of the failed checkout, with which the invariants about the bank's money still hold.
ORPHAN: Final = f"""
    INSERT INTO sandbox.payments (reference, checkout_id, currency, amount_minor, status, authorized_minor,
                                  captured_minor, refunded_minor)
    VALUES ('pay_3', '{FAILED}', 'EUR', 750, 'open', 0, 0, 0);
"""


def figures(stdout: str) -> list[tuple[str, str, int]]:
    """Return the verdict, the kind and the count of each line about a kind of finding."""
    words = [line.split() for line in stdout.splitlines()]
    return [(each[0], each[1], int(each[2])) for each in words if len(each) > 2 and each[1] in KINDS]


def test_exit_0_with_a_line_for_each_kind_when_both_sides_agree(
    tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    write(engine, CONSISTENT_ROWS.read_text())
    before = take_snapshot(engine)
    done = run(tmp_path, settings, "--gateway")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[: len(list_invariants())]] == [
        ["ok", invariant.name] for invariant in list_invariants()
    ]
    assert lines[len(list_invariants())] == f"{len(list_invariants())} invariants, all hold."
    assert figures(done.stdout) == [("ok", kind, 0) for kind in KINDS]
    assert lines[-1].startswith("2 objects at sandbox, 2 payments of this database, since 20")
    assert lines[-1].endswith(" UTC: all agree.")
    assert take_snapshot(engine) == before


def test_a_difference_is_exit_1_with_what_to_do_and_nothing_is_touched(
    tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    write(engine, CONSISTENT_ROWS.read_text() + ORPHAN)
    before = take_snapshot(engine)
    done = run(tmp_path, settings, "--gateway")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{len(list_invariants())} invariants, all hold." in done.stdout.splitlines()
    assert [each for each in figures(done.stdout) if each[0] != "ok"] == [("DIFFERS", "orphaned_payment", 1)]
    assert (
        f"        checkout={FAILED}  reference=pay_3  This object over 7.50 EUR is open; the checkout is failed and has"
        " pay_2. --repair voids it, or refunds what it captured."
    ) in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1].endswith(" UTC: 1 difference.")
    assert take_snapshot(engine) == before


def test_a_repair_prints_what_it_did_and_the_next_run_finds_nothing(
    tmp_path: Path, engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    # Given captured money of a failed checkout, and another one with a second authorisation
    with build_works(engine, settings) as works:
        kept, doubled = check_out(works, shelf, "tok_declined"), check_out(works, shelf, "tok_declined")
        own = adopt(shelf, kept, make_object(works.gateway, kept, "capture"))
        orphan = make_object(works.gateway, doubled, "authorize")
    assert run(tmp_path, settings, "--gateway").returncode == 1
    # When
    done = run(tmp_path, settings, "--gateway", "--repair")
    # Then
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == [
        f"Repaired (checkout {kept}, {own}, charged_without_order): refunded: 5.00 EUR.",
        f"Repaired (checkout {doubled}, {orphan}, orphaned_payment): cancelled: 5.00 EUR.",
    ]
    assert figures(done.stdout) == [("ok", kind, 0) for kind in KINDS]
    assert bank_entries(shelf, own) == [("authorize", 500), ("capture", 500), ("refund", 500)]
    assert bank_entries(shelf, orphan) == [("authorize", 500), ("cancel", 500)]
    # and once more
    before = take_snapshot(engine)
    again = run(tmp_path, settings, "--gateway", "--repair")
    assert (again.returncode, again.stderr) == (0, "")
    assert "epaired" not in again.stdout
    assert take_snapshot(engine) == before


def test_a_difference_without_a_rule_remains_after_a_repair_and_is_exit_1(
    tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    write(engine, CONSISTENT_ROWS.read_text() + "DELETE FROM sandbox.payments WHERE reference = 'pay_2'")
    before = take_snapshot(engine)
    done = run(tmp_path, settings, "--gateway", "--repair")
    assert done.returncode == 1
    assert [each for each in figures(done.stdout) if each[0] != "ok"] == [("DIFFERS", "missing_at_provider", 1)]
    assert "epaired" not in done.stdout
    assert take_snapshot(engine) == before


def test_ten_rows_of_a_kind_are_shown_and_notes_do_not_fail(tmp_path: Path, engine: Engine, settings: Settings) -> None:
    # Given twelve objects of another database in a shared account, and the bank's ledger in another database
    write(
        engine,
        CONSISTENT_ROWS.read_text()
        + "INSERT INTO sandbox.payments (reference, checkout_id, currency, amount_minor, status, authorized_minor,"
        " captured_minor, refunded_minor) SELECT 'pay_' || n, gen_random_uuid(), 'EUR', 100, 'open', 0, 0, 0"
        " FROM generate_series(11, 22) AS n",
    )
    url = settings.database_url.get_secret_value()
    elsewhere = url + ("&" if "?" in url else "?") + "application_name=bank"
    # When
    done = run(tmp_path, settings, "--gateway", CHECKOUT_SANDBOX_DATABASE_URL=elsewhere)
    # Then
    assert (done.returncode, done.stderr) == (0, "")
    assert [each for each in figures(done.stdout) if each[0] != "ok"] == [("note", "unknown_checkout", 12)]
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith("        checkout=")]) == 10
    assert "        and 2 more" in lines
    assert lines[-1].endswith(" UTC: all agree.")


def test_json_has_the_findings_and_the_repairs_in_one_object(
    tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    write(
        engine,
        CONSISTENT_ROWS.read_text()
        + ORPHAN
        + "UPDATE sandbox.payments SET refunded_minor = 1 WHERE captured_minor > 0",
    )
    done = run(tmp_path, settings, "--json", "--gateway", "--repair")
    assert done.returncode == 1
    report: dict[str, Any] = json.loads(done.stdout)
    assert [each["name"] for each in report["invariants"]] == [invariant.name for invariant in list_invariants()]
    gateway = report.pop("gateway")
    findings = {each.pop("kind"): each for each in gateway.pop("findings")}
    assert gateway.pop("since").endswith("+00:00")
    assert gateway == {
        "name": "sandbox",
        "objects": 3,
        "payments": 2,
        "differences": 1,
        "repairs": [
            {
                "kind": "orphaned_payment",
                "checkout_id": FAILED,
                "reference": "pay_3",
                "did": "cancelled",
                "amount": {"minor": 750, "currency": "EUR"},
                "settled": True,
                "reason": None,
            }
        ],
    }
    assert list(findings) == KINDS
    assert {kind: each["count"] for kind, each in findings.items() if each["count"]} == {"amount_differs": 1}
    assert findings["amount_differs"]["rows"] == [
        {
            "checkout_id": "00000000-0000-7000-8000-000000000001",
            "state": "completed",
            "reference": "pay_1",
            "stored": "captured",
            "provider": "captured",
            "order": {"minor": 500, "currency": "EUR"},
            "kept": {"minor": 499, "currency": "EUR"},
            "authorized": None,
            "amount": None,
            "sentence": "The provider has kept 4.99 EUR; the order is over 5.00 EUR."
            " Settle the difference with the buyer, at the provider.",
            "has_rule": False,
        }
    ]


def test_the_window_is_given_in_hours(tmp_path: Path, engine: Engine, settings: Settings) -> None:
    # Given a orphan of eight days ago
    write(
        engine,
        CONSISTENT_ROWS.read_text() + ORPHAN + "UPDATE sandbox.payments SET created_at = now() - interval '8 days'",
    )
    # When, then
    week = run(tmp_path, settings, "--gateway")
    assert [each for each in figures(week.stdout) if each[0] != "ok"] == []
    assert week.stdout.splitlines()[-1].startswith("0 objects at sandbox, 2 payments of this database, since ")
    longer = run(tmp_path, settings, "--gateway", "--hours", "193")
    assert [each for each in figures(longer.stdout) if each[0] != "ok"] == [("DIFFERS", "orphaned_payment", 1)]


@pytest.mark.parametrize("args", [["--repair"], ["--repair", "--json"], ["--gateway", "--hours", "0"]])
def test_a_call_that_makes_no_sense_is_a_usage_error(
    args: list[str], tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    write(engine, CONSISTENT_ROWS.read_text() + ORPHAN)
    before = take_snapshot(engine)
    done = run(tmp_path, settings, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: audit.py" in done.stderr
    assert "Traceback" not in done.stderr
    assert take_snapshot(engine) == before


def test_a_provider_that_cannot_be_read_is_exit_2_and_never_all_well(
    tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    # Given a bank whose database is unavailable
    write(engine, CONSISTENT_ROWS.read_text())
    bank = {"CHECKOUT_SANDBOX_DATABASE_URL": "postgresql://bank:secret@127.0.0.1:1/bank"}
    sentence = "The payment provider does not answer (its database failed): try again later."
    # When
    done = run(tmp_path, settings, "--gateway", **bank)
    # Then the invariants are reported, and of the comparison only that it failed
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == sentence
    assert figures(done.stdout) == []
    assert "all agree" not in done.stdout
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "Traceback" in line or "secret" in line]
    # and JSON says the same
    described = run(tmp_path, settings, "--gateway", "--json", **bank)
    assert described.returncode == 2
    gateway = json.loads(described.stdout)["gateway"]
    assert gateway.pop("since") is not None
    assert gateway == {"name": "sandbox", "repairs": [], "error": sentence}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"CHECKOUT_GATEWAY": "cowrie"}, "There is no gateway 'cowrie': set CHECKOUT_GATEWAY to one of"),
        ({"REDIS_URL": "nonsense"}, "REDIS_URL is not a Redis address: use one such as"),
        ({"DATABASE_URL": "postgresql://shop:secret@127.0.0.1:1/shop"}, "The database did not answer: connection"),
        ({"CHECKOUT_GATEWAY_LEASE_SECONDS": "1"}, "A call of sandbox can take 4 s: set CHECKOUT_GATEWAY_LEASE_SECONDS"),
    ],
    ids=["no-such-gateway", "no-redis-address", "database-away", "lease-too-short"],
)
def test_a_comparison_that_cannot_run_is_exit_2_with_one_sentence(
    tmp_path: Path, settings: Settings, environment: dict[str, str], sentence: str
) -> None:
    done = run(tmp_path, settings, "--gateway", "--repair", **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_without_redis_it_repairs_all_the_same(
    tmp_path: Path, engine: Engine, settings: Settings, shelf: Shelf
) -> None:
    with build_works(engine, settings) as works:
        kept = check_out(works, shelf, "tok_declined")
        own = adopt(shelf, kept, make_object(works.gateway, kept, "capture"))
    done = run(tmp_path, settings, "--gateway", "--repair", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0
    assert f"Repaired (checkout {kept}, {own}, charged_without_order): refunded: 5.00 EUR." in done.stdout
    with engine.connect() as connection:
        assert connection.execute(text("SELECT status FROM payments")).scalar_one() == "refunded"
