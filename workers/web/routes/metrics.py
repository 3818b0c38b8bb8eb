"""`GET /metrics`: the engine's figures for Prometheus, read at each request, and this process's own."""

from collections.abc import Iterator, Mapping
from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from sqlalchemy import Connection
from starlette.responses import Response

from pipeline.gateways import describe_choice
from pipeline.operations import Stats, read_stats
from pipeline.operations.health import read_sweep_age
from pipeline.operations.replication import Replication, StandbyLag, read_replication
from pipeline.orders.reading.figures import OrderFigures
from workers.broker.redis_client import find_master
from workers.overview import Readout, read_queues
from workers.web.context import context_of
from workers.web.protection.authentication import AdminRoute
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.openapi import BEARER, describe_problems

router = APIRouter(route_class=AdminRoute, tags=["operation"], dependencies=[BEARER])

#: Ended checkouts of so many hours are counted.
HOURS: Final = 1.0


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text format"},
        **describe_problems(401, 403, 429, 500, 503),
    },
)
@limited_as(Policy.READS)
async def read_metrics(request: Request) -> Response:
    """Return all figures in Prometheus's text format; needs a key with the scope `admin`."""
    registry: CollectorRegistry = request.app.state.registry
    context = context_of(request)

    def read(connection: Connection) -> tuple[Stats, float | None, Replication]:
        stats = read_stats(connection, context.settings, hours=HOURS)
        return stats, read_sweep_age(connection), read_replication(connection)

    # From the primary: alerts are about what is so now.
    stats, sweep_age, replication = await context.read(read)
    client = context.components.broker.client
    queues = await context.run(lambda: read_queues(client))
    readout = Readout(
        stats,
        queues,
        describe_choice(context.settings),
        replication=replication,
        redis_master=find_master(client),
    )
    figures = Figures(readout, sweep_age, context.settings.cell)
    body = await context.run(lambda: generate_latest(figures) + generate_latest(registry))
    return Response(body, media_type=CONTENT_TYPE_LATEST)


class Figures(CollectorRegistry):
    """One reading, as metrics."""

    def __init__(self, readout: Readout, sweep_age: float | None, cell: str = "") -> None:
        """Take the reading; `sweep_age` is None if the sweep has never run, `cell` is empty without cells."""
        super().__init__()
        self._readout, self._sweep_age, self._cell = readout, sweep_age, cell

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        stats = self._readout.stats
        if self._cell:
            # Not a label of each series: Prometheus adds labels of its targets itself, and a join adds this one.
            yield InfoMetricFamily("checkout_cell", "The cell of this engine", value={"cell": self._cell})
        yield _family("checkouts", "Active checkouts, and those that ended in the last hour", "state", stats.states)
        yield _family("failures", "Ended without an order in the last hour, by code", "code", stats.failures)
        waiting = {step.name: step.checkouts for step in stats.steps}
        yield _family("phase_checkouts", "Checkouts that wait for a phase or for the unwind", "phase", waiting)
        oldest = {step.name: step.oldest_seconds or 0.0 for step in stats.steps}
        yield _family("phase_oldest_seconds", "Age of the oldest of them", "phase", oldest)
        if stats.duration is not None:
            durations = {"0.5": stats.duration.p50_seconds, "0.95": stats.duration.p95_seconds}
            yield _family(
                "duration_seconds", "Duration from start to placed order, in the last hour", "quantile", durations
            )
        if stats.success_rate is not None:
            yield _single(
                "success_ratio", "Share of completed among those that ended in the last hour", stats.success_rate
            )
        for name, text, value in (
            ("expired", "Expired for longer than the sweep's bound, stock still held", stats.expired),
            ("stuck", "Overdue by more than the sweep's bound", stats.stuck),
            ("needs_review", "Checkouts that need review", stats.needs_review),
            ("reservations_held_lines", "Lines with a reservation", stats.held_lines),
            ("reservations_held_units", "Units of stock held by reservations", stats.held_units),
            ("payments_unknown", "Payment calls with an unknown outcome for five minutes", stats.payments_unknown),
            ("deliveries_pending", "Outbound webhooks to be delivered", stats.deliveries_pending),
            ("deliveries_dead_lettered", "Dead-lettered outbound webhooks", stats.deliveries_dead_lettered),
            ("messages_rejected", "Messages rejected as invalid in the last hour", stats.rejected_messages),
            (
                "messages_redelivered",
                "Messages redelivered by the sweep in the last hour: normally 0",
                stats.redelivered,
            ),
            ("messages_redelivered_slow", "Those of them that a slow worker still processed", stats.redelivered_slow),
        ):
            yield _single(name, text, value)
        yield from _order_families(stats.orders)
        if self._sweep_age is not None:
            yield _single(
                "sweep_age_seconds", "Age of the sweep's heartbeat; absent if it has never run", self._sweep_age
            )
        yield _single("broker_up", "Whether Redis answers", float(self._readout.queues is not None))
        if self._readout.redis_master is not None:
            address = {self._readout.redis_master: 1.0}
            yield _family("broker_master_info", "The Redis master that the Sentinels name", "address", address)
        if self._readout.replication is not None:
            yield from _replication_families(self._readout.replication)
        yield from _queue_families(self._readout)


def _order_families(orders: OrderFigures) -> Iterator[Metric]:
    for name, text, value in (
        ("changes_to_do", "Order changes that the workers have to do", orders.changes_to_do),
        ("changes_oldest_seconds", "Age of the oldest of them", orders.oldest_seconds or 0.0),
        ("changes_stuck", "Order changes overdue by more than the sweep's bound", orders.changes_stuck),
        ("changes_need_review", "Order changes that need review", orders.changes_need_review),
        ("refunds_returned", "Refunds that failed after the provider had accepted them", orders.refunds_returned),
        ("disputes_open", "Disputes that are not decided", orders.disputes_open),
    ):
        yield _single(name, text, value)
    yield _family("disputes_open_minor", "Amount of the open disputes", "currency", orders.disputed_minor)
    ended = GaugeMetricFamily(
        "checkout_changes_ended", "Order changes that ended in the last hour", labels=["kind", "outcome"]
    )
    for kind, outcomes in orders.ended.items():
        for outcome, count in outcomes.items():
            ended.add_metric([kind, outcome], count)
    yield ended


def _replication_families(replication: Replication) -> Iterator[Metric]:
    """Yield the figures that the database user may see."""
    is_read_only = float(replication.objection is not None)
    yield _single("database_read_only", "Whether DATABASE_URL leads to where nothing can be written", is_read_only)
    if replication.missing is not None:
        yield _single(
            "synchronous_standbys_missing", "Synchronous standbys that commits wait for", float(replication.missing)
        )
    standbys: dict[str, list[StandbyLag]] = {}
    for each in replication.standbys or ():
        standbys.setdefault(each.name, []).append(each)
    # Standbys may share a name, and a label has one value: that of the one that is further behind.
    seconds = {name: max(each.lag_seconds or 0.0 for each in found) for name, found in standbys.items()}
    yield _family("replication_lag_seconds", "How far a standby is behind", "standby", seconds)
    most = {name: float(max(each.lag_bytes for each in found)) for name, found in standbys.items()}
    yield _family("replication_lag_bytes", "WAL that a standby has not replayed", "standby", most)


def _queue_families(readout: Readout) -> Iterator[Metric]:
    found = readout.queues or ()
    yield _family("queue_waiting", "Messages waiting", "queue", {each.queue: each.waiting for each in found})
    yield _family("queue_in_flight", "Messages in processing", "queue", {each.queue: each.in_flight for each in found})
    yield _family(
        "queue_dead_lettered", "Dead-lettered messages", "queue", {each.queue: each.dead_lettered for each in found}
    )
    ages = {each.queue: age for each in found if (age := readout.age_seconds(each)) is not None}
    yield _family("queue_oldest_seconds", "Age of the oldest message", "queue", ages)


def _family(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"checkout_{name}", text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"checkout_{name}", text, value=value)
