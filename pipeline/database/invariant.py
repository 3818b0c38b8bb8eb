"""One invariant: the engine has its own, and a gateway may add some."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Invariant:
    """A name, its meaning in one sentence, and the query for rows that break it.

    A row names what broke and carries the figures that disagree. All queries of an audit read one snapshot, so they
    hold while workers run: what one transaction wrote is seen whole or not at all. `:bound_seconds` and `:queued` are
    given by the audit. What SQL cannot say, such as a hash over canonical JSON, is found by `search` instead.
    """

    name: str
    meaning: str
    sql: str = ""
    search: Callable[[Connection], Iterable[dict[str, Any]]] | None = None
