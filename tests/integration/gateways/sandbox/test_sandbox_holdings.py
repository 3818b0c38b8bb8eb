"""The bank's list of all that it holds: complete, in chunks, and honest about not being so."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, make_url, text

from models.money import Money
from models.states import PaymentStatus
from pipeline.database import connect_engine
from pipeline.errors import Code, Unavailable
from pipeline.gateways.gateway import Held
from pipeline.gateways.sandbox import holdings
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.settings import Settings
from tests.integration.gateways.sandbox.customer import Customer

FILL = text("""
    INSERT INTO sandbox.payments (reference, checkout_id, currency, amount_minor, status, authorized_minor,
                                  captured_minor, refunded_minor, created_at)
    SELECT 'sbx_' || md5(n::text), gen_random_uuid(), 'EUR', n, 'open', 0, 0, 0, now() - (n % 100) * interval '1 hour'
    FROM generate_series(1, :count) AS n
""")


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


def test_each_status_is_listed_with_its_amounts(bank: SandboxGateway, engine: Engine) -> None:
    statuses = [status for status in PaymentStatus if status is not PaymentStatus.NEW]
    customers = [Customer(bank, engine).bring_to(status) for status in statuses]
    rows = [customer.row() for customer in customers]

    listed = list(bank.list_held(an_hour_ago()))

    assert listed == sorted(
        (
            Held(
                reference=row["reference"],
                checkout_id=customer.id,
                status=status,
                amount=Money(1250, "EUR"),
                captured_minor=row["captured_minor"],
                refunded_minor=row["refunded_minor"],
                created_at=row["created_at"],
            )
            for customer, row, status in zip(customers, rows, statuses, strict=True)
        ),
        key=lambda held: held.reference,
    )
    assert sum(held.captured_minor for held in listed) == 2500
    assert sum(held.refunded_minor for held in listed) == 1250


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_chunks_leave_nothing_out_and_repeat_nothing(
    bank: SandboxGateway, engine: Engine, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(holdings, "CHUNK", 2)
    with engine.begin() as connection:
        connection.execute(FILL, {"count": count})

    listed = list(bank.list_held(datetime(2000, 1, 1, tzinfo=UTC)))

    assert sorted(held.amount.minor for held in listed) == list(range(1, count + 1))


def test_only_what_was_created_since_is_listed(bank: SandboxGateway, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(FILL, {"count": 5000})

    listed = list(bank.list_held(datetime.now(UTC) - timedelta(minutes=150)))

    assert sorted({held.amount.minor % 100 for held in listed}) == [0, 1, 2]
    assert len(listed) == 150
    assert len(list(bank.list_held(datetime(2000, 1, 1, tzinfo=UTC)))) == 5000


def test_the_bank_works_while_its_books_are_read(bank: SandboxGateway, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(FILL, {"count": 5000})
    listing = bank.list_held(datetime(2000, 1, 1, tzinfo=UTC))
    first = next(listing)

    customer = Customer(bank, engine).bring_to(PaymentStatus.CAPTURED)

    rest = list(listing)
    assert len({held.reference for held in [first, *rest]} - {customer.reference}) == 5000


def test_what_has_run_out_is_not_listed_as_live(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)
    with engine.begin() as connection:
        connection.execute(text("UPDATE sandbox.payments SET authorized_until = now()"))

    (listed,) = bank.list_held(an_hour_ago())

    assert listed.status is PaymentStatus.CANCELLED
    # Reading changed nothing: the bank lets go when it is asked about the object.
    assert customer.row()["status"] == PaymentStatus.AUTHORIZED
    assert customer.entries() == [("authorize", 1250)]


def test_a_database_that_is_away_is_said_and_not_taken_for_an_empty_list(settings: Settings) -> None:
    nowhere = make_url(settings.database_url.get_secret_value()).set(database="no_such_database")
    engine = connect_engine(settings, application_name="test", url=nowhere.render_as_string(hide_password=False))

    with pytest.raises(Unavailable) as refusal:
        list(holdings.list_objects(engine, an_hour_ago()))

    assert refusal.value.code is Code.GATEWAY_UNAVAILABLE
    assert str(refusal.value) == "The payment provider does not answer (its database failed): try again later."
    engine.dispose()


def test_a_database_that_goes_away_halfway_is_said(
    bank: SandboxGateway, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "CHUNK", 2)
    with engine.begin() as connection:
        connection.execute(FILL, {"count": 5})
    listing = bank.list_held(datetime(2000, 1, 1, tzinfo=UTC))
    assert [isinstance(next(listing).checkout_id, UUID) for _ in range(2)] == [True, True]

    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE sandbox.payments RENAME TO payments_away"))
    try:
        with pytest.raises(Unavailable):
            next(listing)
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE sandbox.payments_away RENAME TO payments"))
