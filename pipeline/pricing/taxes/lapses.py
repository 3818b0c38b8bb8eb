"""Tax rates that have ended, or have not begun, where no other holds: nothing is due, though no rate of 0 says so.
Pure.

A country or region whose rates are known and whose goods are not taxed any more says so with a rate of 0, or with no
rates at all. One that never had any is not taxed: the shop is not registered there.
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
    """Return the lapsed rates that would tax these categories, or delivery, and that nothing stands in for.

    `regions` are the one that the goods go to and those that it lies in. The country and each region stand in for
    themselves: a region's rate that has ended is missed beside the
    country's. In either, a rate of the category or one of no category will do. What has not begun is missed only where
    nothing at all is charged: a tax that is planned beside others is not late.
    """
    holding = [rate for rate in valid if rate.region is None or rate.region in regions]
    wanted = list(categories)
    missed: dict[LapsedRate, None] = {}
    for rate in lapsed:
        if rate.region is not None and rate.region not in regions:
            continue
        own = [each for each in holding if each.region == rate.region]
        concerned = [each for each in wanted if rate.category in (None, each)]
        if any(_is_missed(rate, _find(own, each), _find(holding, each)) for each in concerned) or (
            ships and _is_missed_on_delivery(rate, _find(own, None))
        ):
            missed[rate] = None
    return tuple(missed)


def _find(rates: Iterable[TaxRate], category: str | None) -> list[TaxRate]:
    return [rate for rate in rates if rate.category in (None, category)]


def _is_missed(rate: LapsedRate, stands_in: Sequence[TaxRate], charged: Sequence[TaxRate]) -> bool:
    return not stands_in and (rate.ended or not charged)


def _is_missed_on_delivery(rate: LapsedRate, stands_in: Sequence[TaxRate]) -> bool:
    """Return whether delivery was taxed by it. One of the same name that leaves delivery out is a decision, no
    lapse.
    """
    taxed = rate.ended and rate.on_shipping and rate.category is None
    return taxed and not any(each.on_shipping or each.name == rate.name for each in stands_in)
