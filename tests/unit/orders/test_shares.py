"""The share of units in their line: whatever their order, all of them come to its total exactly."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.orders import BookLine


@given(total_minor=st.integers(0, 10**12), parts=st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_any_parts_of_a_line_come_to_its_total(total_minor: int, parts: list[int]) -> None:
    quantity = sum(parts)
    line = BookLine(1, 1, "sku", "title", quantity, total_minor)
    for units in parts:
        share = line.price_units(units)
        # No unit differs from another by more than one minor unit.
        assert total_minor // quantity * units <= share <= (total_minor // quantity + 1) * units
        line = replace(line, refunded=line.refunded + units, refunded_minor=line.refunded_minor + share)
    assert line.refunded_minor == total_minor


@given(total_minor=st.integers(0, 10**6), quantity=st.integers(2, 50), data=st.data())
def test_a_share_that_failed_is_in_the_next_one(total_minor: int, quantity: int, data: st.DataObject) -> None:
    line = BookLine(1, 1, "sku", "title", quantity, total_minor)
    failed = data.draw(st.integers(1, quantity - 1))
    assert line.price_units(failed) <= total_minor
    # It counts no more, so that the line is as before it.
    assert line.price_units(quantity) == total_minor
