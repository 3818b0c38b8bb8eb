"""The rows of variants, and of their prices."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.catalog.batches.forms import PriceForm, VariantForm
from pipeline.catalog.batches.results import Facts, Rows, do_all_but_refused, names_level
from pipeline.catalog.skus import find_unknown
from pipeline.catalog.stock import set_stock
from pipeline.catalog.variants import PriceRow, VariantRow, set_prices, upsert_variants
from pipeline.errors import CheckoutError, Code, Conflict, Invalid

# Only their levels are locked: a batch of a thousand titles holds no sale up.
WITH_OTHER_POLICY: Final = text("""
    SELECT DISTINCT v.sku FROM variants v JOIN stock_levels s ON s.variant_id = v.id
    WHERE v.sku = ANY(CAST(:skus AS text[])) AND s.backorderable <> (v.backorder_policy = 'continue')
""")

# Writers of one variant's prices come one after another: two windows that overlap would each not see the other.
LOCK: Final = text("""
    SELECT v.id, v.sku, now() AS now, f.tax_included FROM variants v
    LEFT JOIN LATERAL (
        SELECT p.tax_included FROM prices p WHERE p.variant_id = v.id ORDER BY p.id DESC LIMIT 1) f ON true
    WHERE v.sku = ANY(CAST(:skus AS text[])) ORDER BY v.id FOR NO KEY UPDATE OF v
""")

_GIVEN: Final = """
    FROM unnest(CAST(:places AS integer[]), CAST(:ids AS bigint[]), CAST(:currencies AS text[]),
                CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[])) AS g (n, id, currency, f, u)
"""

# Those that are stored with this beginning: a sale that has begun may be replaced, so that it can be ended.
STORED: Final = text(f"""
    SELECT g.n {_GIVEN} JOIN prices p ON p.variant_id = g.id AND p.currency = g.currency AND p.valid_from = g.f
        AND p.valid_until IS NOT NULL
""")

OVERLAPPING: Final = text(f"""
    SELECT g.n, p.valid_from, p.valid_until
    {_GIVEN} JOIN prices p ON p.variant_id = g.id AND p.currency = g.currency AND p.valid_until IS NOT NULL
        AND p.valid_from < g.u AND p.valid_until > g.f AND p.valid_from <> g.f
""")

WRITE_WINDOWS: Final = text("""
    INSERT INTO prices (variant_id, currency, amount_minor, tax_included, valid_from, valid_until)
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:currencies AS text[]), CAST(:amounts AS bigint[]),
                         CAST(:flags AS boolean[]), CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[]))
    ON CONFLICT (variant_id, currency, valid_from)
        DO UPDATE SET amount_minor = excluded.amount_minor, valid_until = excluded.valid_until
""")


def write_variants(connection: Connection, rows: Rows[VariantForm], change_id: UUID) -> None:
    """Create or update the variants of the open rows; a changed backorder policy is copied to their stock."""
    rows.refuse_repeated(lambda form: [form.sku])

    def work(forms: Mapping[int, VariantForm]) -> dict[int, Facts]:
        upsert_variants(connection, [VariantRow(**form.model_dump()) for form in forms.values()])
        skus = [form.sku for form in forms.values()]
        changed = connection.scalars(WITH_OTHER_POLICY, {"skus": skus}).all()
        if changed:
            set_stock(connection, [], following=changed, change_id=change_id)
        return {place: {"sku": form.sku} for place, form in forms.items()}

    do_all_but_refused(connection, rows, work, lambda form, about: names_level(form.sku, [about.location], about))


def write_prices(connection: Connection, rows: Rows[PriceForm]) -> None:
    """Set the prices of the open rows."""
    rows.refuse_repeated(lambda form: [(form.sku, form.currency, form.valid_from)])
    unknown = find_unknown(connection, {form.sku for form in rows.open.values()})
    rows.refuse_where(lambda form: unknown.get(form.sku))
    if not rows.open:
        return
    known = {row.sku: row for row in connection.execute(LOCK, {"skus": [form.sku for form in rows.open.values()]})}
    now = next(iter(known.values())).now
    rows.refuse_where(lambda form: _object(form, known[form.sku]))
    _refuse_past(connection, rows, known, now)
    windows = {place: form for place, form in rows.open.items() if form.valid_from or form.valid_until}
    _refuse_overlapping(connection, rows, windows, known, now)
    base = [form for place, form in rows.open.items() if place not in windows]
    set_prices(connection, [PriceRow(form.sku, form.currency, form.amount_minor, form.tax_included) for form in base])
    kept = [form for place, form in windows.items() if place in rows.open]
    if kept:
        connection.execute(WRITE_WINDOWS, _bind(kept, known, now))
    rows.done |= {place: {"sku": form.sku, "currency": form.currency} for place, form in rows.open.items()}


def _object(form: PriceForm, variant: Any) -> CheckoutError | None:
    """Return why a price cannot be: it has ended, or would change whether taxes are included."""
    if form.valid_until is not None and form.valid_until <= variant.now:
        return Invalid(Code.REQUEST_INVALID, reason="valid_until is in the past")
    if form.tax_included is not None and variant.tax_included not in {None, form.tax_included}:
        has = "include tax" if variant.tax_included else "exclude tax"
        return Invalid(Code.REQUEST_INVALID, reason=f"the prices of this variant {has}: leave tax_included out")
    return None


def _refuse_past(connection: Connection, rows: Rows[PriceForm], known: Mapping[str, Any], now: datetime) -> None:
    """Refuse prices that begin in the past, unless they replace a price with an end that began then."""
    past = {place: form for place, form in rows.open.items() if form.valid_from is not None and form.valid_from < now}
    if not past:
        return
    stored = set(connection.scalars(STORED, {"places": list(past), **_bind(list(past.values()), known, now)}))
    for place, form in past.items():
        if place not in stored or form.valid_until is None:
            reason = "valid_from is in the past: leave it out for a price from now on"
            rows.refuse(place, Invalid(Code.REQUEST_INVALID, reason=reason))


def _refuse_overlapping(
    connection: Connection,
    rows: Rows[PriceForm],
    windows: Mapping[int, PriceForm],
    known: Mapping[str, Any],
    now: datetime,
) -> None:
    """Refuse windows that overlap one that is stored, or one before them in this batch."""
    ended = {place: form for place, form in windows.items() if form.valid_until is not None}
    places = {"places": list(ended)}
    found = connection.execute(OVERLAPPING, places | _bind(list(ended.values()), known, now)) if ended else ()
    for row in found:
        form = ended[row.n]
        rows.refuse(row.n, _explain_overlap(form, row.valid_from, row.valid_until))
    taken: list[PriceForm] = []
    for place, form in ended.items():
        if place not in rows.open:
            continue
        for other in taken:
            if (other.sku, other.currency) == (form.sku, form.currency) and _overlap(form, other, now):
                rows.refuse(place, _explain_overlap(form, other.valid_from or now, other.valid_until))
                break
        else:
            taken.append(form)


def _overlap(one: PriceForm, other: PriceForm, now: datetime) -> bool:
    if one.valid_until is None or other.valid_until is None:
        return False
    return (one.valid_from or now) < other.valid_until and (other.valid_from or now) < one.valid_until


def _explain_overlap(form: PriceForm, begins: datetime, ends: datetime | None) -> Conflict:
    return Conflict(
        Code.PRICE_OVERLAPS,
        sku=form.sku,
        currency=form.currency,
        begins=begins.isoformat(timespec="seconds"),
        ends="" if ends is None else ends.isoformat(timespec="seconds"),
    )


def _bind(forms: list[PriceForm], known: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    flags = [
        known[form.sku].tax_included if known[form.sku].tax_included is not None else form.tax_included is not False
        for form in forms
    ]
    return {
        "ids": [known[form.sku].id for form in forms],
        "currencies": [form.currency for form in forms],
        "amounts": [form.amount_minor for form in forms],
        "flags": flags,
        "froms": [form.valid_from or now for form in forms],
        "untils": [form.valid_until for form in forms],
    }
