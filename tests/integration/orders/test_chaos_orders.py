"""What chaos compares about orders: the answers of clients and the bank's own doings, each with the database."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from pipeline.settings import Settings
from scripts.faults.after_sales import ChangeHistory
from scripts.faults.order_verification import OrderVerdict, verify_changes
from tests.integration.orders.bank_window import BankWindow
from tests.integration.orders.counter import cancel, refund
from tests.support.harness import OWNER


@pytest.fixture
def window(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[BankWindow]:
    """A shop, and the bank's dashboard."""
    monkeypatch.setattr("scripts.faults.order_verification.OWNER", OWNER)
    opened = BankWindow(engine, settings)
    yield opened
    opened.close()


def live(window: BankWindow) -> ChangeHistory:
    """Refund and cancel over the counter, refund and dispute at the bank; return what each was answered."""
    history = ChangeHistory()
    for key, request in (("refund", refund(amount_minor=100)), ("cancel", cancel())):
        change_id = window.ask(window.place(("cup", 1)), request, key=key).change_id
        assert window.settle(change_id) == ["done"]
        history.accepted[key] = {change_id}
    order_id = window.place(("cup", 1))
    history.dashboard_refunds.append(window.dashboard.refund(window.payment(order_id), 70))
    dispute = window.dashboard.open_dispute(window.payment(order_id), 80)
    window.mail()
    window.dashboard.close_dispute(dispute, won=False)
    window.mail()
    history.disputes[dispute] = "lost"
    return history


def verify(window: BankWindow, history: ChangeHistory) -> OrderVerdict:
    """Compare."""
    with window.engine.connect() as connection:
        return verify_changes(connection, history)


def test_what_agrees_is_no_violation(window: BankWindow) -> None:
    verdict = verify(window, live(window))
    assert (verdict.violations, verdict.lost, verdict.stuck, verdict.needs_review) == ([], 0, 0, 0)
    assert (verdict.asked, verdict.dashboard_refunds, verdict.disputes) == (2, 1, 1)


def test_whatever_differs_is_a_violation(window: BankWindow) -> None:
    history = live(window)
    [dispute] = history.disputes

    def object_to(wrong: ChangeHistory) -> str:
        [violation] = verify(window, wrong).violations
        return violation

    nobody: dict[str, set[UUID]] = {"refund": {uuid4()}, "cancel": history.accepted["cancel"]}
    assert object_to(replace(history, accepted=nobody)).startswith("refund was answered with ")
    forgotten = {"cancel": history.accepted["cancel"]}
    assert object_to(replace(history, accepted=forgotten)) == "nobody was answered about refund"
    assert object_to(replace(history, accepted=forgotten, refused={"refund": "order_disputed"})).startswith(
        "refund was refused (order_disputed), the database has "
    )
    assert object_to(replace(history, dashboard_refunds=["sbr_x"])) == (
        "the dashboard has refunded sbr_x, and the database has no such change of the provider"
    )
    assert object_to(replace(history, disputes={dispute: "won"})) == (
        f"the bank has decided {dispute} as won, the database has lost"
    )
    window.shelf.run("UPDATE sandbox.refunds SET amount_minor = amount_minor + 1 WHERE operation_id IS NULL")
    assert [
        each for each in verify(window, history).violations if "by its own key or as one of the dashboard" in each
    ] != []
