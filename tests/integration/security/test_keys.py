"""API keys: found by their whole token alone, and only while they live."""

import hashlib
import string

import pytest
from sqlalchemy import Connection, Engine

from pipeline.errors import Invalid
from pipeline.security.api_keys import Caller, Scope, create_key, find_callers, list_keys, revoke_key
from pipeline.security.tokens import read_key_id
from tests.support.harness import Shelf


def test_a_key_is_its_owners_and_its_secret_is_not_stored(connection: Connection) -> None:
    # When
    record, token = create_key(connection, owner="shop-1", name="till", scopes=[Scope.PRICES, Scope.CHECKOUT])
    # Then
    prefix, key_id, secret = token.split("_")
    assert (prefix, key_id, len(key_id), len(secret)) == ("ck", record.id, 12, 43)
    assert find_callers(connection, [token])[0] == Caller(
        record.id, "shop-1", "till", frozenset({Scope.CHECKOUT, Scope.PRICES})
    )
    [row] = connection.exec_driver_sql("SELECT * FROM api_keys").all()
    assert bytes(row.secret_hash) == hashlib.sha256(token.encode()).digest()
    assert secret not in str(row)
    assert list_keys(connection) == [record]


def test_any_other_character_is_another_key(connection: Connection) -> None:
    _, token = create_key(connection, owner="shop-1", name="till", scopes=[Scope.CHECKOUT])
    for at, character in enumerate(token):
        other = next(each for each in string.ascii_letters if each != character)
        assert find_callers(connection, [token[:at] + other + token[at + 1 :]]) == [None]
    assert find_callers(connection, [token[:-1], token + "a", token.upper(), f" {token}"]) == [None] * 4


@pytest.mark.parametrize("token", ["", "ck_", "ck__", "ck_a_b", "x" * 60, "ck_" + "ü" * 12 + "_" + "a" * 43, "\x00"])
def test_what_is_no_token_does_not_reach_the_database(engine: Engine, token: str) -> None:
    assert read_key_id(token) is None
    with engine.connect() as connection:
        connection.close()
        assert find_callers(connection, [token]) == [None]


def test_a_key_ends_when_it_is_revoked_or_runs_out(engine: Engine, shelf: Shelf) -> None:
    # Given
    with engine.begin() as connection:
        revoked, first = create_key(connection, owner="a", name="till", scopes=[Scope.CHECKOUT])
        expiring, second = create_key(connection, owner="b", name="till", scopes=[Scope.ADMIN], days=30)
        assert [caller is None for caller in find_callers(connection, [first, second])] == [False, False]
    assert expiring.expires_at is not None
    # When
    with engine.begin() as connection:
        record = revoke_key(connection, revoked.id)
    with engine.begin() as connection:
        again = revoke_key(connection, revoked.id)
        assert revoke_key(connection, "nobody") is None
    shelf.run("UPDATE api_keys SET expires_at = now() WHERE id = :id", id=expiring.id)
    # Then
    assert record == again
    assert record is not None
    assert record.revoked_at is not None
    with engine.connect() as connection:
        assert find_callers(connection, [first, second]) == [None, None]


@pytest.mark.parametrize(
    ("owner", "name", "scopes"),
    [("", "n", [Scope.CHECKOUT]), ("o" * 256, "n", [Scope.CHECKOUT]), ("o", "\x00", [Scope.CHECKOUT]), ("o", "n", [])],
)
def test_a_key_needs_an_owner_a_name_and_a_scope(engine: Engine, owner: str, name: str, scopes: list[Scope]) -> None:
    with pytest.raises(Invalid), engine.begin() as connection:
        create_key(connection, owner=owner, name=name, scopes=scopes)
    with engine.connect() as connection:
        assert list_keys(connection) == []


def test_a_thousand_keys_are_a_thousand(connection: Connection) -> None:
    tokens = {create_key(connection, owner="o", name="n", scopes=[Scope.CHECKOUT])[1] for _ in range(1000)}
    assert len({read_key_id(token) for token in tokens} - {None}) == len(tokens) == 1000
