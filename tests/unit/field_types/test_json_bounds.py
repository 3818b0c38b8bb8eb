"""JSON that is too large, too deep, or read differently by different readers: refused, and before it costs anything."""

import json
import time
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.limits import MAX_ADDRESS, MAX_VALUES
from pipeline.errors import Invalid
from pipeline.field_types.json_bounds import measure, read_json

BOUNDS: Final = (2, 5, 10)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_what_is_json_is_read_as_it_was_written(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(b"\xef\xbb\xbf" + json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) is not Ellipsis


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1, "a": 2}', "an object in its body has the same name twice"),
        (b'[{"b": {"a": 1, "\\u0061": 1}}]', "an object in its body has the same name twice"),
        (b"[NaN]", "its body has a number that JSON does not have"),
        (b'{"a": -Infinity}', "its body has a number that JSON does not have"),
        (b"1" * 5000, "its body has a number with thousands of digits"),
        (b"[-" + b"9" * 100_000 + b"]", "its body has a number with thousands of digits"),
        (b"[" * 50_000, "its body is nested too deeply"),
        (b'{"a":' * 20_000, "its body is nested too deeply"),
        (b"\xff\xfe[\x00]\x00", "its body is not text in UTF-8"),
        (b'"\xe9"', "its body is not text in UTF-8"),
        (b"[" + b"{}," * (MAX_VALUES // 2) + b"{}]", f"its body has more than {MAX_VALUES} values"),
        (b"[" + b"0," * MAX_VALUES + b"0]", f"its body has more than {MAX_VALUES} values"),
        (b"{" * MAX_VALUES * 2, f"its body has more than {MAX_VALUES} values"),
    ],
    ids=range(13),
)
def test_what_is_read_by_none_or_by_each_in_another_way_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_json(data)
    assert refused.value.detail == {"reason": reason}


@pytest.mark.parametrize("data", [b"", b"{", b"[1,]", b"'a'", b"{1: 2}", b"[1] 2", b"\x00"])
def test_what_is_no_json_is_reported_with_its_place(data: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(data)


@pytest.mark.parametrize(
    "value",
    [None, True, 1.5, "0123456789", [1, 2, 3, 4, 5], {"ab": "cdefgh", "ij": 1}, [[], {}, [1]], {"a": {"b": 2**63 - 1}}],
)
def test_what_is_within_its_bounds_passes(value: object) -> None:
    measure(value, BOUNDS)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("0123456789a", "it has more than 10 characters"),
        ({"abcdef": "ghijk"}, "it has more than 10 characters"),
        ([1] * 6, "it has more than 5 values"),
        ([[1, 2], [3, 4]], "it has more than 5 values"),
        ({str(number): None for number in range(6)}, "it has more than 5 values"),
        ([[[1]]], "it has more than 2 levels"),
        ({"a": [{"b": 1}]}, "it has more than 2 levels"),
        ([2**63], "it contains a number that is too large"),
        (-(10**4000), "it contains a number that is too large"),
    ],
    ids=range(9),
)
def test_what_is_beyond_its_bounds_is_refused(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        measure(value, BOUNDS)


def test_what_is_far_too_large_costs_no_more_to_refuse_than_what_is_just_too_large() -> None:
    def cost(value: object) -> float:
        costs = []
        for _ in range(5):
            began = time.process_time()
            with pytest.raises(ValueError, match="it has more than"):
                measure(value, MAX_ADDRESS)
            costs.append(time.process_time() - began)
        return min(costs)

    small = cost([["a"] * 20] * 20)
    for large in (["a"] * 10**6, [["a"] * 1000] * 1000, {str(number): "a" for number in range(10**5)}, "a" * 10**7):
        assert cost(large) < 10 * small + 0.002
