"""Lists as parameters: what is written is what PostgreSQL reads, and what psycopg writes."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.array import ListDumper
from sqlalchemy import Engine, text

from pipeline.database import connect_engine
from pipeline.database.arrays import ArrayDumper
from pipeline.settings import Settings

TYPES = {"uuid": st.uuids(), "bigint": st.integers(-(2**63), 2**63 - 1), "text": st.text(st.characters(codec="utf-8"))}
LISTS = st.one_of(*(st.tuples(st.just(name), st.lists(items | st.none())) for name, items in TYPES.items()))


@pytest.fixture(scope="module")
def own(run_settings: Settings) -> Any:
    """Connections as the engine makes them."""
    engine = connect_engine(run_settings, application_name="arrays", pool_size=1)
    yield engine
    engine.dispose()


@given(given_list=LISTS)
def test_a_list_comes_back_as_it_was(own: Engine, given_list: tuple[str, list[Any]]) -> None:
    kind, items = given_list
    if kind == "text" and any("\x00" in each for each in items if each is not None):
        return
    query = text(f"SELECT CAST(:items AS {kind}[]), ARRAY(SELECT * FROM unnest(CAST(:items AS {kind}[])))")
    with own.connect() as connection:
        assert tuple(connection.execute(query, {"items": items}).one()) == (items, items)


@pytest.mark.parametrize("items", [["a", "b\x00"], ["\ud800"]])
def test_a_text_that_cannot_be_stored_is_refused(own: Engine, items: list[str]) -> None:
    with own.connect() as connection, pytest.raises(Exception, match=r"NUL|surrogates"):
        connection.execute(text("SELECT CAST(:items AS text[])"), {"items": items})


def test_lists_of_other_things_are_those_of_psycopg(own: Engine) -> None:
    at = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
    with own.connect() as connection:
        for kind, items in (
            ("boolean", [True, False, None]),
            ("double precision", [1.5, None, -0.25]),
            ("timestamptz", [at, None]),
            ("integer", [[1, 2], [3, 4]]),
            ("text", []),
            ("text", [None]),
        ):
            query = text(f"SELECT CAST(:items AS {kind}[])")
            assert connection.execute(query, {"items": items}).scalar_one() == items


def test_in_another_encoding_it_is_written_by_psycopg(run_settings: Settings) -> None:
    url = run_settings.database_url.get_secret_value()
    with psycopg.connect(url, client_encoding="latin1") as connection:
        connection.adapters.register_dumper(list, ArrayDumper)
        assert connection.execute("SELECT %s::text[]", [["é", "ü"]]).fetchone() == (["é", "ü"],)


def test_the_engine_uses_it_and_leaves_the_types_as_they_are(own: Engine) -> None:
    values: list[list[Any]] = [[uuid4()], [UUID(int=1), None], [1, 2], [2**40], ["a"], [None], []]
    with own.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        mine, theirs = psycopg.adapt.Transformer(driver), psycopg.adapt.Transformer()
        for value in values:
            one, other = (each.get_dumper(value, psycopg.adapt.PyFormat.TEXT) for each in (mine, theirs))
            assert (type(one), type(other), one.oid) == (ArrayDumper, ListDumper, other.oid)
