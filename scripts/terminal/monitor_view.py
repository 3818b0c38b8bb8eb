"""The monitor's output: tables for a terminal, one fact on each line for a pipe."""

from collections.abc import Iterable, Iterator

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.states import ACTIVE, CheckoutState
from pipeline.operations import Stats
from pipeline.operations.replication import UNSEEN, Replication
from pipeline.operations.statistics import PhaseFigures
from scripts.terminal.output import plain
from workers.overview import Readout, format_seconds


def draw(readout: Readout) -> RenderableType:
    """Return the monitor's tables for a terminal."""
    stats = readout.stats
    title = Text.assemble(
        ("checkouts", "bold"),
        (f"  the last {stats.hours:g} h, as of {stats.at:%Y-%m-%d %H:%M:%S} UTC", "dim"),
        f"  payments: {readout.gateway}",
    )
    active = [(_words(state), stats.states[state]) for state in CheckoutState if state in ACTIVE]
    ended = [(_words(state), stats.states[state]) for state in CheckoutState if state not in ACTIVE]
    summary = Columns(
        [
            _box("active now", [*active, ("units held", stats.held_units), ("coupons held", stats.coupons_held)]),
            _box("ended", ended, alarm=False),
            _box("outcome", _outcome(stats), alarm=False),
            _box("needs attention", _attention(readout), alarm=True),
        ]
    )
    cluster = [plain(line, "dim") for line in _list_cluster(readout)]
    parts: list[RenderableType] = [title, *cluster, summary, _draw_queues(readout)]
    if stats.failures:
        parts.append(_draw_failures(stats))
    return Group(*parts)


def list_lines(readout: Readout) -> Iterator[str]:
    """Yield one fact on each line, for grep and for logs."""
    stats = readout.stats
    yield f"at {stats.at:%Y-%m-%dT%H:%M:%SZ}"
    yield f"hours {stats.hours:g}"
    yield f"gateway {readout.gateway}"
    yield from _list_cluster(readout)
    for state, count in stats.states.items():
        yield f"state {state} {count}"
    yield f"units_held {stats.held_units}"
    yield f"coupons_held {stats.coupons_held}"
    for name, value in _outcome(stats):
        yield f"{name.replace(' ', '_')} {value}"
    for step in stats.steps:
        rate = "-" if step.per_minute is None else step.per_minute
        oldest = format_seconds(step.oldest_seconds)
        yield f"step {step.name} checkouts={step.checkouts} oldest={oldest} per_minute={rate}"
    if readout.queues is None:
        yield "queues unknown: Redis did not answer"
    for figures in readout.queues or ():
        yield (
            f"queue {figures.queue} waiting={figures.waiting} in_flight={figures.in_flight}"
            f" dead_lettered={figures.dead_lettered} oldest={format_seconds(readout.age_seconds(figures))}"
        )
    for code, count in stats.failures.items():
        yield f"failure {code} {count}"
    for name, count in _attention(readout):
        yield f"attention {name.replace(',', '').replace(' ', '_')} {count}"


def _list_cluster(readout: Readout) -> Iterator[str]:
    """Yield a line for each server besides a single primary and a single Redis; none where there is no other."""
    if readout.standby is not None:
        yield f"read_from standby lag={format_seconds(readout.standby.lag_seconds)}"
    replication = readout.replication
    if replication is None:
        yield "primary unknown: it did not answer"
    elif replication.objection is not None:
        yield f"primary read_only: {replication.objection}"
    elif replication.standbys is None:
        yield f"standbys unknown: {UNSEEN}"
    for each in (replication.standbys if replication is not None else None) or ():
        lag = format_seconds(each.lag_seconds)
        yield f"standby {each.name} sync={each.sync_state} lag={lag} bytes={each.lag_bytes}"
    if readout.redis_master is not None:
        yield f"redis_master {readout.redis_master}"


def _outcome(stats: Stats) -> list[tuple[str, str]]:
    rate = "-" if stats.success_rate is None else f"{stats.success_rate:.1%}"
    times = stats.duration
    return [
        ("success", rate),
        ("p50", format_seconds(times.p50_seconds if times else None)),
        ("p95", format_seconds(times.p95_seconds if times else None)),
        ("average", format_seconds(times.average_seconds if times else None)),
    ]


def _attention(readout: Readout) -> list[tuple[str, int]]:
    stats = readout.stats
    return [
        ("stuck", stats.stuck),
        ("needs review", stats.needs_review),
        ("order changes stuck", stats.orders.changes_stuck),
        ("order changes in review", stats.orders.changes_need_review),
        ("refunds returned", stats.orders.refunds_returned),
        ("disputes open", stats.orders.disputes_open),
        ("expired, stock held", stats.expired),
        ("payments unknown", stats.payments_unknown),
        ("messages rejected", stats.rejected_messages),
        ("webhooks pending", stats.deliveries_pending),
        ("webhooks dead-lettered", stats.deliveries_dead_lettered),
        ("redelivered, lost", stats.redelivered - stats.redelivered_slow),
        ("redelivered, slow", stats.redelivered_slow),
        ("dead-lettered", sum(figures.dead_lettered for figures in readout.queues or ())),
        *_attention_of_standbys(readout.replication),
    ]


def _attention_of_standbys(replication: Replication | None) -> list[tuple[str, int]]:
    """Return nothing where there is no standby, and none is wanted."""
    if replication is None or not (replication.synchronous or replication.standbys):
        return []
    return [("standbys missing", replication.missing or 0), ("standbys late", len(replication.late))]


def _words(state: CheckoutState) -> str:
    return state.value.replace("_", " ")


def _box(title: str, facts: Iterable[tuple[str, int | str]], *, alarm: bool = False) -> Panel:
    """Return a panel of names and figures; with `alarm` figures above zero are red, else zeros are dim."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    for name, value in facts:
        loud, quiet = ("bold red", "dim") if alarm else ("bold", "dim")
        style = quiet if value in {0, "-"} else loud
        grid.add_row(
            plain(name, style if alarm else ""), plain(f"{value:,}" if isinstance(value, int) else value, style)
        )
    return Panel(grid, title=title, title_align="left", box=box.ROUNDED, border_style="dim", expand=False)


def _draw_queues(readout: Readout) -> RenderableType:
    """Return a table with a row for each queue: checkouts in the database, messages in Redis."""
    steps = {f"checkout.{step.name}": step for step in readout.stats.steps}
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, collapse_padding=True)
    table.add_column("queue checkout.*", no_wrap=True)
    seen = ("messages", "in flight", "oldest", "dead-lettered") if readout.queues is not None else ()
    for heading in ("checkouts", "oldest", "a minute", *seen):
        table.add_column(heading, justify="right", no_wrap=True)
    if readout.queues is None:
        for queue, step in steps.items():
            table.add_row(_short(queue), *_describe_step(step))
        return Group(table, plain("Redis did not answer: the queues cannot be read.", "bold yellow"))
    for figures in readout.queues:
        found = steps.get(figures.queue)
        table.add_row(
            _short(figures.queue),
            *(_describe_step(found) if found else ("", "", "")),
            _number(figures.waiting),
            _number(figures.in_flight),
            format_seconds(readout.age_seconds(figures)),
            plain(str(figures.dead_lettered), "bold red" if figures.dead_lettered else "dim"),
        )
    return table


def _describe_step(step: PhaseFigures) -> tuple[Text, str, Text]:
    rate = plain("") if step.per_minute is None else _number(step.per_minute)
    return _number(step.checkouts), format_seconds(step.oldest_seconds), rate


def _draw_failures(stats: Stats) -> RenderableType:
    total = sum(stats.failures.values())
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    table.add_column("not completed, by code")
    table.add_column("checkouts", justify="right")
    table.add_column("share", justify="right")
    for code, count in stats.failures.items():
        table.add_row(code, f"{count:,}", f"{count / total:.0%}")
    return table


def _short(queue: str) -> str:
    return queue.removeprefix("checkout.")


def _number(value: int) -> Text:
    return plain(f"{value:,}", "bold" if value else "dim")
