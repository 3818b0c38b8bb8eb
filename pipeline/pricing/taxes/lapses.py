"""Find tax rates that have ended or not begun, where no other is valid and no rate of 0 says that no tax is due.

A country or region whose rates are known and whose goods are not taxed any more has a rate of 0, or no rates at all.
One that never had any is not taxed: the shop is not registered there. No I/O.
"""

from collections.abc import Collection, Iterable, Sequence

from pipeline.pricing.terms import LapsedRate, TaxRate


def find_lapsed(
    valid: Iterable[TaxRate],
    lapsed: Iterable[LapsedRate],
    regions: Collection[str],
    categories: Iterable[str | None],
    *,
    ships: bool,
) -> tuple[LapsedRate, ...]:
    """Return the lapsed rates that would tax these categories, or delivery, and that have no valid substitute.

    `regions` are the one that the goods go to and those that it lies in. A substitute is of the same country or region:
    a region's rate that has ended is missed beside the country's. It is of the category or of no category. A rate that
    has not begun is missed only where nothing at all is charged: a tax that is planned beside others is not late.
    """
    current = [rate for rate in valid if rate.region is None or rate.region in regions]
    wanted = list(categories)
    missed: dict[LapsedRate, None] = {}
    for rate in lapsed:
        if rate.region is not None and rate.region not in regions:
            continue
        own = [each for each in current if each.region == rate.region]
        concerned = [each for each in wanted if rate.category in (None, each)]
        if any(_is_missed(rate, _find(own, each), _find(current, each)) for each in concerned) or (
            ships and _is_missed_on_delivery(rate, _find(own, None))
        ):
            missed[rate] = None
    return tuple(missed)


def _find(rates: Iterable[TaxRate], category: str | None) -> list[TaxRate]:
    return [rate for rate in rates if rate.category in (None, category)]


def _is_missed(rate: LapsedRate, substitutes: Sequence[TaxRate], charged: Sequence[TaxRate]) -> bool:
    return not substitutes and (rate.ended or not charged)


def _is_missed_on_delivery(rate: LapsedRate, substitutes: Sequence[TaxRate]) -> bool:
    """Return whether delivery was taxed by it. A valid one of its name without delivery is a decision, no lapse."""
    taxed = rate.ended and rate.on_shipping and rate.category is None
    return taxed and not any(each.on_shipping or each.name == rate.name for each in substitutes)
