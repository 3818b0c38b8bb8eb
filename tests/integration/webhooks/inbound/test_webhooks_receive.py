"""Inbound webhooks: verified, and stored before the response, once per event."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from pipeline.database import connect_engine
from pipeline.errors import Code, Invalid, NotFound
from pipeline.messaging import WEBHOOKS, OutgoingMessage
from pipeline.saga.sweep import SweepCounts
from pipeline.settings import Settings
from pipeline.webhooks.inbound.receive import MAX_BODY, Received
from tests.support.harness import Shelf, Works, build_works
from tests.support.mail import GATEWAY, make_body, read_inbox, sign
from tests.support.rivals import at_once
from tests.support.workbench import assert_refused, take_snapshot

Headers = dict[str, str]
VerifiedWebhook = tuple[bytes, Headers]
Make = Callable[[Settings], VerifiedWebhook]


def signed(body: bytes, event_id: str = "evt_1") -> Make:
    return lambda settings: (body, sign(settings, event_id, body))


def without(header: str) -> Make:
    def make(settings: Settings) -> VerifiedWebhook:
        body, headers = signed(make_body())(settings)
        return body, {name: value for name, value in headers.items() if name != header}

    return make


def with_signature(signature: str) -> Make:
    return lambda settings: (make_body(), sign(settings, "evt_1", make_body()) | {"webhook-signature": signature})


def at(offset: timedelta) -> Make:
    body = make_body()
    return lambda settings: (body, sign(settings, "evt_1", body, at=datetime.now(UTC) + offset))


BAD: Final[dict[str, Make]] = {
    "signed with another secret": lambda settings: (
        make_body(),
        sign(settings, "evt_1", make_body(), secret="whsec_c29tZWJvZHkgZWxzZQ=="),
    ),
    "another body than was signed": lambda settings: (
        make_body(reference="sbx_2"),
        sign(settings, "evt_1", make_body(reference="sbx_1")),
    ),
    "another event id than was signed": lambda settings: (
        make_body(),
        sign(settings, "evt_1", make_body()) | {"webhook-id": "evt_2"},
    ),
    "six minutes old": at(timedelta(minutes=-6)),
    "six minutes early": at(timedelta(minutes=6)),
    "no headers": lambda _: (make_body(), {}),
    "no id": without("webhook-id"),
    "no time": without("webhook-timestamp"),
    "no signature": without("webhook-signature"),
    "a signature that is none": with_signature("v1"),
    "a signature that is not base64": with_signature("v1,?"),
    "an old version's signature": with_signature("v0,AAAA"),
    "not JSON": signed(b"{"),
    "not an event": signed(b"[]"),
    "nothing": signed(b""),
    "not UTF-8": signed(b"\xff\xfe"),
    "NUL in the body": signed(make_body().replace(b"{", b"{\x00", 1)),
    "NUL in the reference": signed(make_body(reference="sbx_\x00")),
    "half a surrogate pair in the reference": signed(make_body(reference="sbx_\ud800")),
    "NUL in the kind": signed(make_body(kind="a\x00b")),
    "no checkout's id": signed(make_body(checkout_id="nope")),
    "no reference": signed(make_body(reference=None)),
    "an empty reference": signed(make_body(reference="")),
    "an event id of 256 characters": signed(make_body(), "e" * 256),
    "a reference of 256 characters": signed(make_body(reference="r" * 256)),
    "a kind of 256 characters": signed(make_body(kind="k" * 256)),
    "one byte too much": signed(make_body() + b" " * (MAX_BODY + 1 - len(make_body()))),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_accepted_is_refused_and_nothing_is_stored(
    works: Works, engine: Engine, settings: Settings, make: Make
) -> None:
    # Given
    before = take_snapshot(engine)
    body, headers = make(settings)
    # When
    with pytest.raises(Invalid) as refusal:
        works.service.receive_webhook(GATEWAY, body, headers)
    # Then
    assert refusal.value.code == Code.WEBHOOK_INVALID
    assert str(refusal.value).isprintable()
    assert take_snapshot(engine) == before
    assert works.line.sent == []


def test_a_webhook_is_stored_before_it_is_answered(
    works: Works, engine: Engine, shelf: Shelf, settings: Settings
) -> None:
    # Given
    body, headers = signed(make_body(reference="sbx_9", checkout_id=UUID(int=9)))(settings)
    # When
    received = works.service.receive_webhook(GATEWAY, body, {name.title(): value for name, value in headers.items()})
    # Then other sessions see it, and a message is sent for it
    row = shelf.row("SELECT *, due_at - received_at AS wait FROM webhook_inbox")
    assert (row.id, row.gateway, row.event_id, row.kind) == (received.id, "sandbox", "evt_1", "payment.authorized")
    assert (row.reference, row.checkout_id, row.body.encode()) == ("sbx_9", UUID(int=9), body)
    assert (row.status, row.attempts, row.last_error, row.settled_at) == ("received", 0, None, None)
    assert row.wait == timedelta(seconds=settings.redeliver_after_seconds)
    assert received == Received(row.id, created=True, messages=[OutgoingMessage(WEBHOOKS, row.id, row.received_at)])
    assert works.line.sent == list(received.messages)


def test_a_body_of_just_the_largest_size_is_accepted(works: Works, shelf: Shelf, settings: Settings) -> None:
    body, headers = signed(make_body() + b" " * (MAX_BODY - len(make_body())))(settings)

    assert works.service.receive_webhook(GATEWAY, body, headers).created
    assert shelf.row("SELECT octet_length(body) AS size FROM webhook_inbox").size == MAX_BODY


def test_another_gateway_is_not_known_here(works: Works, settings: Settings) -> None:
    body, headers = signed(make_body())(settings)

    assert_refused(
        works,
        partial(works.service.receive_webhook, "stripe", body, headers),
        NotFound,
        "gateway_unknown",
        'There is no gateway "stripe" here: use the one that CHECKOUT_GATEWAY names.',
    )


def test_an_event_that_comes_again_is_the_one_that_is_stored(
    works: Works, engine: Engine, shelf: Shelf, settings: Settings
) -> None:
    # Given
    body, headers = signed(make_body())(settings)
    first = works.service.receive_webhook(GATEWAY, body, headers)
    before, sent = take_snapshot(engine), list(works.line.sent)
    # When it comes again, and as another body under its id
    again = works.service.receive_webhook(GATEWAY, body, headers)
    other, headers = signed(make_body(reference="sbx_2"))(settings)
    changed = works.service.receive_webhook(GATEWAY, other, headers)
    # Then
    assert again == changed == Received(first.id, created=False)
    assert take_snapshot(engine) == before
    assert works.line.sent == sent


def test_one_event_at_eight_doors_at_once_is_stored_once(settings: Settings, works: Works, shelf: Shelf) -> None:
    # Given
    body, headers = signed(make_body())(settings)
    eight = connect_engine(settings, application_name="eight", pool_size=8)
    with build_works(eight, settings) as receivers:
        # When
        answers = at_once(*[partial(receivers.service.receive_webhook, GATEWAY, body, headers)] * 8)
        sent = list(receivers.line.sent)
    eight.dispose()
    # Then
    assert [type(each) for each in answers] == [Received] * 8
    assert sorted(each.created for each in answers) == [False] * 7 + [True]
    assert {each.id for each in answers} == {shelf.row("SELECT id FROM webhook_inbox").id}
    assert len(sent) == 1


def test_an_event_of_an_unknown_kind_is_stored_and_left_alone(
    works: Works, engine: Engine, shelf: Shelf, settings: Settings
) -> None:
    # Given
    body, headers = signed(make_body(kind="account.updated"))(settings)
    # When
    received = works.service.receive_webhook(GATEWAY, body, headers)
    # Then
    assert (received.created, received.messages, works.line.sent) == (True, [], [])
    row = shelf.row("SELECT kind, status, due_at, settled_at = received_at AS at_once FROM webhook_inbox")
    assert tuple(row) == ("account.updated", "ignored", None, True)
    # ... for any caller
    before = take_snapshot(engine)
    works.inbox.run([received.id])
    assert works.sweep() == SweepCounts()
    assert take_snapshot(engine) == before
    assert works.service.receive_webhook(GATEWAY, body, headers) == Received(received.id, created=False)


def test_nothing_is_answered_while_the_database_is_away(works: Works, settings: Settings) -> None:
    # Given a server that does not run
    away = connect_engine(settings, application_name="away", url="postgresql://nobody@127.0.0.1:1/nothing")
    body, headers = signed(make_body())(settings)
    with build_works(away, settings) as cut_off:
        cut_off.executor.close()
        cut_off.use(cut_off.gateway, waits=(0.01,))
        # When
        with pytest.raises(DBAPIError):
            cut_off.service.receive_webhook(GATEWAY, body, headers)
        # Then no message is sent, and what is wrong is still returned
        assert cut_off.line.sent == []
        with pytest.raises(Invalid):
            cut_off.service.receive_webhook(GATEWAY, body, {})
    away.dispose()


def test_nothing_is_answered_when_the_commit_fails(
    works: Works, engine: Engine, shelf: Shelf, settings: Settings
) -> None:
    # Given a database that says no at the very end
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'sabotaged'; END $$
        """)
        connection.exec_driver_sql("""
            CREATE CONSTRAINT TRIGGER sabotage AFTER INSERT ON webhook_inbox DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION sabotage()
        """)
    body, headers = signed(make_body())(settings)
    try:
        # When
        with pytest.raises(DBAPIError, match="sabotaged"):
            works.service.receive_webhook(GATEWAY, body, headers)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION sabotage CASCADE")
    # Then
    assert read_inbox(shelf) == []
    assert works.line.sent == []
    # ... and it is stored when the bank sends it again
    assert works.service.receive_webhook(GATEWAY, body, headers).created
