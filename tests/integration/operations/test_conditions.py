"""Health, diagnostics, statistics and metrics agree: each condition planted once, all of them report it."""

from collections.abc import Callable
from typing import Final

import pytest
from prometheus_client import generate_latest
from sqlalchemy import Engine, text

from pipeline.database.migrations import read_head
from pipeline.operations.diagnostics import Severity, diagnose
from pipeline.operations.health import Health, check_database, read_sweep_age
from pipeline.operations.statistics import Stats, read_stats
from pipeline.settings import Settings
from tests.integration.operations.test_diagnosis import WRONGS
from tests.support.harness import Shelf, Works
from workers.overview import Readout
from workers.web.routes.metrics import Figures

#: Code of diagnostics to health check, and the figure of statistics and metrics, where there is one.
CONDITIONS: Final[dict[str, tuple[str | None, Callable[[Stats], int] | None, str | None]]] = {
    "expired_locks": ("expired_locks", lambda stats: stats.expired, "expired"),
    "stuck_checkouts": ("stuck_checkouts", lambda stats: stats.stuck, "stuck"),
    "needs_review": ("needs_review", lambda stats: stats.needs_review, "needs_review"),
    "payments_review": ("payments_review", None, None),
    "payments_unknown": ("payments_unknown", lambda stats: stats.payments_unknown, "payments_unknown"),
    "deliveries_dead_lettered": (
        "deliveries_dead_lettered",
        lambda stats: stats.deliveries_dead_lettered,
        "deliveries_dead_lettered",
    ),
    "changes_stuck": ("changes_stuck", lambda stats: stats.orders.changes_stuck, "changes_stuck"),
    "changes_review": ("changes_review", lambda stats: stats.orders.changes_need_review, "changes_need_review"),
    "refunds_returned": ("refunds_returned", lambda stats: stats.orders.refunds_returned, "refunds_returned"),
    # A dispute keeps nothing from working: an alert tells of it, and health does not.
    "disputes_open": (None, lambda stats: stats.orders.disputes_open, "disputes_open"),
    "partitions_missing": ("partitions_missing", None, None),
    "partitions_misplaced": ("partitions_misplaced", None, None),
    "tax_rates_ended": ("tax_rates_ended", None, None),
    "rates_too_old": ("exchange_rates", None, None),
    "sweep_late": ("sweep_age", None, None),
    "sweep_stopped": ("sweep_age", None, None),
}


@pytest.fixture
def shop(works: Works, shelf: Shelf) -> dict[str, object]:
    """One checkout that awaits payment, one that was cancelled, and a sweep that runs."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    waiting = works.start(shelf.add_cart(("cup", 1)))
    ended = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    works.service.cancel(ended, "shop-1")
    works.pump()
    works.sweep()
    return {"id": waiting, "ended": ended}


@pytest.mark.parametrize("code", CONDITIONS)
def test_all_report_the_same(code: str, shop: dict[str, object], engine: Engine, settings: Settings) -> None:
    check, read, metric = CONDITIONS[code]
    with engine.connect() as connection:
        # Given the condition, planted past the triggers and never committed
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for statement in WRONGS[code]:
            used = {name: value for name, value in shop.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
        # When
        findings = {each.code: each.count for each in diagnose(connection, settings) if each.severity != Severity.OK}
        checks, _ = check_database(connection, settings, read_head())
        stats = read_stats(connection, settings)
        figures = generate_latest(Figures(Readout(stats, (), "sandbox"), read_sweep_age(connection))).decode()
        connection.rollback()
    # Then each names it, and names nothing else
    assert findings == {code: 1}
    assert {name for name, each in checks.items() if each.status is not Health.HEALTHY} == ({check} - {None})
    if read is not None:
        assert (read(stats), 1 if check is None else checks[check].count) == (1, 1)
        assert f"\ncheckout_{metric} 1.0\n" in figures


def test_without_a_condition_none_reports_any(shop: dict[str, object], engine: Engine, settings: Settings) -> None:
    del shop
    with engine.connect() as connection:
        findings = diagnose(connection, settings)
        checks, _ = check_database(connection, settings, read_head())
        stats = read_stats(connection, settings)
    assert {each.severity for each in findings} == {Severity.OK}
    assert {each.status for each in checks.values()} == {Health.HEALTHY}
    assert [read(stats) for _, read, _ in CONDITIONS.values() if read is not None] == [0] * 9
