"""The rows of stock changes and transfers."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from pipeline.catalog.batches.forms import StockForm, TransferForm
from pipeline.catalog.batches.results import Facts, Rows, do_all_but_refused, names_level
from pipeline.catalog.locations import find_unknown_locations
from pipeline.catalog.skus import find_unknown
from pipeline.catalog.stock import set_stock
from pipeline.catalog.stock_rows import StockDelta, StockInput, StockRow


def change_stock(connection: Connection, rows: Rows[StockForm], change_id: UUID, *, create_locations: bool) -> None:
    """Do the open rows: units more or fewer, or as they shall be while they are as expected."""
    rows.refuse_repeated(lambda form: [(form.sku, form.location)])
    _refuse_unknown_skus(connection, rows)
    if not create_locations:
        unknown = find_unknown_locations(connection, {form.location for form in rows.open.values()})
        rows.refuse_where(lambda form: unknown.get(form.location))

    def work(forms: Mapping[int, StockForm]) -> dict[int, Facts]:
        inputs = [_read(form) for form in forms.values()]
        done = set_stock(connection, inputs, create_locations=create_locations, change_id=change_id)
        return {
            place: {"sku": each.sku, "location": each.location, "before": each.before, "on_hand": each.after}
            for place, each in zip(forms, done, strict=True)
        }

    do_all_but_refused(connection, rows, work, lambda form, about: names_level(form.sku, [form.location], about))


def transfer_stock(
    connection: Connection, rows: Rows[TransferForm], change_id: UUID, *, create_locations: bool
) -> None:
    """Do the open rows: units go from one location to another, both or neither."""
    rows.refuse_repeated(lambda form: [(form.sku, form.from_location), (form.sku, form.to_location)])
    _refuse_unknown_skus(connection, rows)
    sources = find_unknown_locations(connection, {form.from_location for form in rows.open.values()})
    targets = find_unknown_locations(connection, {form.to_location for form in rows.open.values()})
    rows.refuse_where(lambda form: sources.get(form.from_location))
    if not create_locations:
        rows.refuse_where(lambda form: targets.get(form.to_location))

    def work(forms: Mapping[int, TransferForm]) -> dict[int, Facts]:
        inputs = [each for form in forms.values() for each in _split(form)]
        done = set_stock(connection, inputs, create_locations=create_locations, change_id=change_id)
        return {
            place: {
                "sku": form.sku,
                "from_location": form.from_location,
                "from_on_hand": taken.after,
                "to_location": form.to_location,
                "to_on_hand": brought.after,
            }
            for (place, form), taken, brought in zip(forms.items(), done[::2], done[1::2], strict=True)
        }

    do_all_but_refused(
        connection,
        rows,
        work,
        lambda form, about: names_level(form.sku, [form.from_location, form.to_location], about),
    )


def _refuse_unknown_skus(connection: Connection, rows: Rows[StockForm] | Rows[TransferForm]) -> None:
    unknown = find_unknown(connection, {form.sku for form in rows.open.values()})
    rows.refuse_where(lambda form: unknown.get(form.sku))


def _read(form: StockForm) -> StockInput:
    if form.delta is not None:
        return StockDelta(form.sku, form.location, form.delta)
    assert form.set is not None  # noqa: S101 (the form has one of them)
    return StockRow(form.sku, form.location, form.set, form.expected)


def _split(form: TransferForm) -> tuple[StockDelta, StockDelta]:
    taken = StockDelta(form.sku, form.from_location, -form.quantity)
    return taken, StockDelta(form.sku, form.to_location, form.quantity)
