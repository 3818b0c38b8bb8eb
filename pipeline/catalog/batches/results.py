"""What becomes of the rows of a batch: each is done, or refused with its reason."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from pipeline.catalog.batches.forms import InvalidRow
from pipeline.catalog.stock_rows import Objection, Shortfall, StockRefused, explain
from pipeline.errors import CheckoutError, Code, Conflict, Invalid

Form = TypeVar("Form")
Facts = Mapping[str, Any]


@dataclass
class Rows(Generic[Form]):
    """The rows of a batch by their place, as they are done or refused."""

    open: dict[int, Form]
    done: dict[int, Facts] = field(default_factory=dict)
    refused: dict[int, CheckoutError] = field(default_factory=dict)

    def refuse(self, place: int, error: CheckoutError) -> None:
        """Refuse a row; it is not open any more."""
        self.open.pop(place, None)
        self.refused[place] = error

    def refuse_where(self, find: Callable[[Form], CheckoutError | None]) -> None:
        """Refuse each open row for which there is an error."""
        for place, form in list(self.open.items()):
            if (error := find(form)) is not None:
                self.refuse(place, error)

    def refuse_repeated(self, keys: Callable[[Form], Sequence[Hashable]]) -> None:
        """Refuse each open row with a key that an open row before it has."""
        seen: dict[Hashable, int] = {}
        for place, form in list(self.open.items()):
            first = min((seen[key] for key in keys(form) if key in seen), default=None)
            if first is None:
                seen |= dict.fromkeys(keys(form), place)
            else:
                reason = f"row {first} is about the same: send it in another batch"
                self.refuse(place, Invalid(Code.REQUEST_INVALID, reason=reason))

    def describe(self) -> list[dict[str, Any]]:
        """Return the results in the order of the rows, as they are stored and answered."""
        results: list[dict[str, Any]] = []
        for place in sorted(self.done.keys() | self.refused.keys()):
            if (error := self.refused.get(place)) is None:
                results.append({"row": place, "state": "done", **self.done[place]})
            else:
                failure = {"code": error.code.value, "message": str(error), "detail": dict(error.detail)}
                results.append({"row": place, "state": "refused", "failure": failure})
        return results


def open_rows(sent: Sequence[Form | InvalidRow]) -> Rows[Form]:
    """Return the rows, those that are not valid refused."""
    rows: Rows[Form] = Rows({})
    for place, each in enumerate(sent):
        if isinstance(each, InvalidRow):
            rows.refuse(place, Invalid(Code.REQUEST_INVALID, reason=each.reason))
        else:
            rows.open[place] = each
    return rows


def do_all_but_refused(
    connection: Connection,
    rows: Rows[Form],
    work: Callable[[Mapping[int, Form]], Mapping[int, Facts]],
    is_about: Callable[[Form, Objection], bool],
) -> None:
    """Do the open rows as one; those that the stock refuses are refused, and the others done without them.

    Each refusal undoes what the work has done, so that the rest is done as if the refused rows had never been sent.
    An objection about no row, that of a level elsewhere, cannot be: every row of its variant is meant then.
    """
    while rows.open:
        try:
            with connection.begin_nested():
                rows.done |= work(rows.open)
                return
        except StockRefused as refused:
            before = len(rows.open)
            for objection in refused.objections:
                code, detail = explain(objection)
                for place in [place for place, form in rows.open.items() if is_about(form, objection)]:
                    rows.refuse(place, Conflict(code, **detail))
            if len(rows.open) == before:
                raise


def names_level(sku: str, locations: Sequence[str], objection: Objection) -> bool:
    """Return whether a row of this variant at these locations is meant by an objection."""
    is_elsewhere = isinstance(objection, Shortfall) and not objection.is_requested
    return objection.sku == sku and (is_elsewhere or objection.location in locations)
