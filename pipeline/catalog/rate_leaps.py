"""Exchange rates that differ too much from the one before them: cut off, mistyped, or of another currency.

The bounds are those of the European Central Bank's own history: 187,000 steps of currencies of today, from 1999 to
October 2026. The largest within a week are Iceland's of 6 November 2008, by 1.49, and Turkey's of 21 December 2021, by
1.36; over a longer gap Iceland's of 2008 to 2018, by 2.32. A number that loses a digit before its point changes by five
and more.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection, text

from pipeline.catalog.exchange_rates import RateRow

NEAR: Final = timedelta(days=7)
#: A step up or down by more than this factor is a leap, within a week and over a longer time.
NEAR_FACTOR: Final = Decimal("1.5")
FAR_FACTOR: Final = Decimal(3)

# Of each chain what lies at or after the first rate given, and the one before it.
KNOWN: Final = text("""
    WITH wanted AS MATERIALIZED (
        SELECT base, quote, source, coalesce((
            SELECT max(e.observed_at) FROM exchange_rates e
            WHERE (e.base, e.quote, e.source) = (given.base, given.quote, given.source)
              AND e.observed_at < given.start_at), start_at) AS start_at
        FROM unnest(CAST(:bases AS char(3)[]), CAST(:quotes AS char(3)[]), CAST(:sources AS text[]),
                    CAST(:starts AS timestamptz[])) AS given (base, quote, source, start_at)
    )
    SELECT e.base, e.quote, e.source, e.observed_at, e.rate
    FROM wanted JOIN exchange_rates e USING (base, quote, source)
    WHERE e.observed_at >= wanted.start_at
    ORDER BY e.observed_at
""")

_Chain = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Leap:
    """A rate that differs too much, the one it was compared with, and the factor that they may differ by."""

    row: RateRow
    other_rate: Decimal
    other_at: datetime
    factor: Decimal


def split_leaps(connection: Connection, rows: Sequence[RateRow]) -> tuple[list[RateRow], list[Leap]]:
    """Return the rates without leaps, and the leaps, both in the order given. Nothing is written.

    A rate is compared with the one before it, of the same currencies and source: a stored one, or one of `rows` that is
    no leap. The first of all is compared with the stored one of its own moment, or else with the next one.
    """
    chains: dict[_Chain, list[RateRow]] = defaultdict(list)
    for row in rows:
        chains[row.base, row.quote, row.source].append(row)
    for members in chains.values():
        members.sort(key=lambda row: row.observed_at)
    stored = _read_known(connection, {chain: members[0].observed_at for chain, members in chains.items()})
    leaps: dict[int, Leap] = {}
    for chain, members in chains.items():
        leaps.update(_walk(members, stored.get(chain, [])))
    return [row for row in rows if id(row) not in leaps], [leaps[id(row)] for row in rows if id(row) in leaps]


def _walk(rows: Sequence[RateRow], known: Sequence[tuple[datetime, Decimal]]) -> dict[int, Leap]:
    """Return the leaps of one chain by the identity of their rows; both sequences are in the order of time."""
    leaps: dict[int, Leap] = {}
    before: tuple[datetime, Decimal] | None = None
    at = 0
    for row in rows:
        while at < len(known) and known[at][0] < row.observed_at:
            before = known[at]
            at += 1
        own_or_next = known[at] if at < len(known) else None
        other = before or own_or_next
        is_stored = own_or_next is not None and own_or_next[0] == row.observed_at
        if other is not None and (leap := _find_leap(row, *other)) is not None:
            leaps[id(row)] = leap
            before = own_or_next if is_stored else before
        else:
            before = (row.observed_at, row.rate)
        at += is_stored
    return leaps


def _find_leap(row: RateRow, other_at: datetime, other_rate: Decimal) -> Leap | None:
    factor = NEAR_FACTOR if abs(row.observed_at - other_at) <= NEAR else FAR_FACTOR
    is_near = other_rate <= row.rate * factor and row.rate <= other_rate * factor
    return None if is_near else Leap(row, other_rate, other_at, factor)


def _read_known(
    connection: Connection, starts: Mapping[_Chain, datetime]
) -> dict[_Chain, list[tuple[datetime, Decimal]]]:
    found: dict[_Chain, list[tuple[datetime, Decimal]]] = defaultdict(list)
    wanted = {
        "bases": [base for base, _, _ in starts],
        "quotes": [quote for _, quote, _ in starts],
        "sources": [source for _, _, source in starts],
        "starts": list(starts.values()),
    }
    for base, quote, source, observed_at, rate in connection.execute(KNOWN, wanted):
        found[base, quote, source].append((observed_at, rate))
    return found
