"""Findings about the whole engine, read through indexes on active rows and recent time, with the command for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from pipeline.checkouts.conditions import (
    bind_conditions,
    late_sweep_seconds,
    stopped_sweep_seconds,
)
from pipeline.errors.wording import fill
from pipeline.gateways import describe_choice, read_choice
from pipeline.operations.questions import QUESTIONS, Question, Severity
from pipeline.operations.replication import STANDBYS_LATE, STANDBYS_MISSING, Replication
from pipeline.settings import Settings

__all__ = ["QUESTIONS", "Diagnosis", "Severity", "diagnose", "judge_gateway", "judge_queues", "judge_replication"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was checked: how many were found, and the command to run."""

    code: str
    severity: Severity
    count: int
    sentence: str
    command: str | None = None


def diagnose(connection: Connection, settings: Settings, *, hours: float = 24) -> list[Diagnosis]:
    """Return one finding for each question, in one round trip each; nothing is locked, nothing is written."""
    facts = {
        **bind_conditions(settings),
        "late_seconds": late_sweep_seconds(settings),
        "stopped_seconds": stopped_sweep_seconds(settings),
        "window_seconds": hours * 3600,
        "rate_hours": settings.rate_max_age_hours,
    }
    return [_diagnose_one(connection, question, facts) for question in QUESTIONS]


def judge_replication(replication: Replication) -> list[Diagnosis]:
    """Return the findings from the replication of the database."""
    missing, late = replication.missing or 0, len(replication.late)
    objection = replication.objection
    found = [Diagnosis("database_read_only", Severity.CRITICAL, 1, objection)] if objection else []
    if missing:
        sentence = f"{fill(STANDBYS_MISSING, {'count': missing})}."
        found.append(Diagnosis("synchronous_standbys", Severity.CRITICAL, missing, sentence))
    if late:
        found.append(Diagnosis("replication_lag", Severity.WARNING, late, f"{fill(STANDBYS_LATE, {'count': late})}."))
    standbys = Diagnosis("standbys", Severity.OK, 0, " ".join(replication.sentences) or "None is connected.")
    return [*found, standbys]


def judge_gateway(settings: Settings) -> Diagnosis:
    """Return which gateway is chosen; none is critical, because no worker starts then."""
    choice = read_choice(settings)
    severity = Severity.CRITICAL if choice is None else Severity.OK
    return Diagnosis("gateway", severity, int(choice is None), f"Payments go to {describe_choice(settings)}.")


def judge_queues(queues: Sequence[Any] | None) -> list[Diagnosis]:
    """Return the findings from the figures of the queues, which are None when Redis did not answer."""
    if queues is None:
        sentence = "Redis does not answer: checkouts are accepted, and continue when it is back."
        return [Diagnosis("broker_away", Severity.CRITICAL, 1, sentence)]
    dead_lettered = sum(each.dead_lettered for each in queues)
    return [
        Diagnosis(
            "dead_lettered",
            Severity.WARNING if dead_lettered else Severity.OK,
            dead_lettered,
            fill(
                "{count:message is|messages are} dead-lettered: see the table rejected_messages.",
                {"count": dead_lettered},
            )
            if dead_lettered
            else "None.",
        )
    ]


def _diagnose_one(connection: Connection, question: Question, facts: dict[str, Any]) -> Diagnosis:
    row: Row[Any] = connection.execute(text(question.sql), facts).one()
    count = int(row[0])
    if count == 0:
        return Diagnosis(question.code, Severity.OK, 0, "None.")
    return Diagnosis(
        question.code, question.severity, count, f"{fill(question.sentence, {'count': count})}.", question.command
    )
