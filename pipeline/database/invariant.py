"""One invariant: the engine has its own, and a gateway may add some."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# Settings of gateways list invariants, and every process reads those settings: light ones stay without SQLAlchemy.
if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pipeline.database.ids import IdRange


@dataclass(frozen=True, slots=True)
class Invariant:
    """A name, its meaning in one sentence, and the query for rows that break it.

    A row names what broke and carries the figures that disagree. All queries of an audit read one snapshot, so they
    hold while workers run: what one transaction wrote is seen whole or not at all. `:bound_seconds` and `:queued` are
    given by the audit. What SQL cannot say, such as a hash over canonical JSON, is found by `search` instead, among
    the checkouts of a range, or among all. `by_checkout` says that a checkout keeps or breaks it alone, whatever the
    others are: an audit of the last hours checks these for the checkouts of a range, and the others for all.
    """

    name: str
    meaning: str
    sql: str = ""
    search: "Callable[[Connection, IdRange | None], Iterable[dict[str, Any]]] | None" = None
    by_checkout: bool = False
