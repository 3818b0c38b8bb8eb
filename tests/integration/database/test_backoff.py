"""Back-off: the same waits from Python and from SQL."""

import pytest
from sqlalchemy import Connection, text

from pipeline.database.backoff import back_off, back_off_sql


def test_the_wait_doubles_up_to_the_longest() -> None:
    waits = [back_off(earlier, first_seconds=1.5, longest_seconds=20) for earlier in range(6)]
    assert waits == [1.5, 3, 6, 12, 20, 20]
    assert back_off(32767, first_seconds=1.5, longest_seconds=20) == 20


@pytest.mark.parametrize(("first", "longest"), [(1.5, 20.0), (0.01, 60.0), (5.0, 6 * 3600.0), (3600.0, 3600.0)])
def test_sql_waits_as_long_as_python(connection: Connection, first: float, longest: float) -> None:
    wait = back_off_sql("earlier", first_seconds=":first", longest_seconds=":longest")
    rows = connection.execute(
        text(f"SELECT earlier, {wait} FROM (SELECT generate_series(0, 40) UNION SELECT 32767) AS n (earlier)"),
        {"first": first, "longest": longest},
    ).all()
    assert len(rows) == 42
    for earlier, seconds in rows:
        assert seconds == back_off(earlier, first_seconds=first, longest_seconds=longest)
