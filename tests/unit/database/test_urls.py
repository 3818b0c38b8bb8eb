"""URLs of databases: libpq's spelling, with one or several hosts, and one sentence for what is wrong."""

from functools import partial
from urllib.parse import quote as quote_text

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from pipeline.database.urls import MAX_HOSTS, read_database_url
from pipeline.settings import SettingsError

WORD = "s3cret"
#: One that must be escaped.
AT = "p@/w"
quote = partial(quote_text, safe="")


def connect_with(url: str, *, writes: bool = True) -> dict[str, str]:
    """Return what the driver is given for this URL."""
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
    _, parameters = dialect.create_connect_args(read_database_url(url, writes=writes))  # type: ignore[no-untyped-call]
    return {name: str(value) for name, value in parameters.items()}


@pytest.mark.parametrize(
    ("url", "parameters"),
    [
        (f"postgresql://u:{quote(AT)}@db:5433/shop", {"host": "db", "port": "5433", "user": "u", "password": AT}),
        ("postgres://db/shop", {"host": "db", "port": "5432"}),
        ("postgresql+psycopg://db/shop", {"host": "db", "port": "5432"}),
        ("postgresql://[::1]:5433/shop", {"host": "::1", "port": "5433"}),
        ("postgresql:///shop", {}),
        ("postgresql:///shop?host=/run/postgresql", {"host": "/run/postgresql", "port": "5432"}),
        ("postgresql://db/shop?sslmode=verify-full", {"host": "db", "port": "5432", "sslmode": "verify-full"}),
        (
            "postgresql://db/shop?target_session_attrs=any",
            {"host": "db", "port": "5432", "target_session_attrs": "any"},
        ),
    ],
)
def test_one_host(url: str, parameters: dict[str, str]) -> None:
    assert connect_with(url) == parameters | {"dbname": "shop"}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@a:5433,b:5434,[::1]:5435/shop",
        "postgresql://u@a:5433,b:5434,[::1]:5435/shop?target_session_attrs=read-write",
        "postgresql+psycopg://u@/shop?host=a,b,::1&port=5433,5434,5435",
    ],
)
def test_several_hosts(url: str) -> None:
    expected = {"host": "a,b,::1", "port": "5433,5434,5435", "user": "u", "dbname": "shop"}
    assert connect_with(url) == expected | {"target_session_attrs": "read-write"}
    # What is rendered is the same again.
    again = read_database_url(url).render_as_string(hide_password=False)
    assert connect_with(again) == connect_with(url)


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("postgresql://a,b/shop", "5432,5432"),
        ("postgresql://a,b:5433/shop", "5432,5433"),
        ("postgresql:///shop?host=a,b&port=5433", "5433,5433"),
    ],
)
def test_ports_that_are_not_named(url: str, ports: str) -> None:
    assert connect_with(url)["port"] == ports


def test_a_reader_takes_a_standby_before_the_primary() -> None:
    assert connect_with("postgresql://a,b/shop", writes=False)["target_session_attrs"] == "prefer-standby"
    assert connect_with("postgresql://a,b/shop?target_session_attrs=standby", writes=False)["host"] == "a,b"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("", "is not a database address"),
        (WORD, "is not a database address"),
        (f"mysql://u:{WORD}@a/shop", "is not a database address"),
        (f"postgresql+asyncpg://u:{WORD}@a/shop", "is not a database address"),
        (f"host=a password={WORD}", "is not a database address"),
        (f"postgresql://u:{WORD}@a:b]/shop", "has a port that is no number"),
        (f"postgresql://u:{WORD}@[::1/shop", "is not a database address"),
        (f"postgresql://u:{WORD}@a:0/shop", "has a port that is no number"),
        (f"postgresql://u:{WORD}@a:65536/shop", "has a port that is no number"),
        (f"postgresql://u:{WORD}@a:5432:6/shop", "has a port that is no number"),
        (f"postgresql://u:{WORD}/x@a/shop", "has a port that is no number"),
        (f"postgresql://u:x@{WORD}@a/shop", "has a host that is no name"),
        (f"postgresql://u:{WORD}@a,,b/shop", "has a host that is no name"),
        (f"postgresql://u:{WORD}@a b/shop", "is not a database address"),
        (f"postgresql://u:{WORD}@/shop?host=a,b,c&port=1,2", "names 3 hosts and 2 ports"),
        (f"postgresql://u:{WORD}@/shop?host=a:5432&host=b:5432", "has host more than once"),
        (f"postgresql://u:{WORD}@/shop?host=a:5432", "has a host that is no name"),
        (f"postgresql://u:{WORD}@a/shop?nonsense=1", "has a parameter nonsense, which PostgreSQL has not"),
        (f"postgresql://u:{WORD}@a/shop?target_session_attrs=standby", "a standby takes no writes"),
        (f"postgresql://u:{WORD}@a/shop?target_session_attrs=read-only", "a standby takes no writes"),
        (f"postgresql://u:{WORD}@{','.join('a' * (MAX_HOSTS + 1))}/shop", "names 17 hosts, and 16 are the most"),
        (f"postgresql://u:{WORD}@{'a' * 4096}/shop", "has more than 4096 characters"),
        (f"postgresql://u:{WORD}@{'a' * 300}/shop", "has a host that is no name"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(url: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_database_url(url, "CHECKOUT_READ_URL")
    sentence = str(caught.value)
    assert sentence.startswith(f"CHECKOUT_READ_URL {what}" if "standby takes" not in what else "CHECKOUT_READ_URL asks")
    assert what in sentence
    assert (sentence.count("\n"), sentence[-1]) == (0, ".")
    assert WORD not in sentence


def test_the_spelling_is_that_of_libpq() -> None:
    url = f"postgresql://u:{quote(AT)}@a:5433,b:5434/shop?connect_timeout=7"
    known = conninfo_to_dict(url)
    assert connect_with(url) == {**known, "target_session_attrs": "read-write"}
