"""One promise."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """A name, its meaning in one sentence, and the query for rows that break it.

    A row names what broke and carries the figures that disagree. All queries of an audit read one snapshot, so they
    hold while workers run: what one transaction wrote is seen whole or not at all. `:bound_seconds` and `:queued` are
    given by the audit. `bank` marks a query over the sandbox bank's own books.
    """

    name: str
    meaning: str
    sql: str
    bank: bool = False
