"""Expired authorisations: the bank voids them, whichever call comes first."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from models.states import PaymentStatus
from pipeline.gateways.gateway import Answer, Call, Declined, Succeeded
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.invariants import BankTotals, read_totals
from pipeline.gateways.sandbox.settings import SandboxSettings
from pipeline.settings import Settings
from tests.integration.gateways.sandbox.customer import Customer

LET_GO = [("authorize", 1250), ("cancel", 1250)]


def let_lapse(customer: Customer) -> Customer:
    """Authorise, and let all the time pass that the bank keeps it."""
    customer.bring_to(PaymentStatus.AUTHORIZED)
    sql = text("UPDATE sandbox.payments SET authorized_until = now() WHERE reference = :reference")
    with customer.engine.begin() as connection:
        connection.execute(sql, {"reference": customer.reference})
    return customer


def cancelled(customer: Customer) -> Succeeded:
    return Succeeded(customer.reference or "", PaymentStatus.CANCELLED)


EXPIRED = Declined("authorization_expired", "The authorisation has run out.")
GONE = Declined("payment_cancelled", "The payment is cancelled.")


def test_an_authorisation_says_until_when_by_the_clock_of_the_database(
    patient: Settings, bank: SandboxGateway, engine: Engine
) -> None:
    customer = Customer(bank, engine).open()
    with engine.connect() as connection:
        before = connection.execute(text("SELECT now()")).scalar_one()

    answer = bank.authorize(customer.call())

    assert isinstance(answer, Succeeded)
    assert answer.authorized_until is not None
    lives = timedelta(seconds=SandboxSettings.read(patient).authorization_seconds)
    assert before + lives <= answer.authorized_until <= before + lives + timedelta(minutes=1)
    assert answer == bank.retrieve(customer.call()) == customer.standing()


def test_an_approval_is_an_authorisation_like_any_other(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PaymentStatus.ACTION_REQUIRED)

    answer = bank.approve(customer.reference or "")

    assert answer == customer.standing()
    assert customer.row()["authorized_until"] is not None


@pytest.mark.parametrize(
    ("verb", "expected"),
    [("capture", EXPIRED), ("authorize", GONE), ("retrieve", None), ("cancel", None)],
)
def test_the_first_call_after_the_expiry_finds_it_voided(
    bank: SandboxGateway, engine: Engine, verb: str, expected: Answer | None
) -> None:
    customer = let_lapse(Customer(bank, engine))
    asked: Callable[[Call], Answer] = getattr(bank, verb)

    answer = asked(customer.call())

    assert answer == (expected or cancelled(customer))
    assert customer.entries() == LET_GO
    assert customer.row()["status"] == PaymentStatus.CANCELLED
    with engine.connect() as connection:
        assert read_totals(connection, [customer.id]) == {customer.id: BankTotals(0, 0, 0)}


def test_what_has_run_out_stays_so(bank: SandboxGateway, engine: Engine) -> None:
    customer = let_lapse(Customer(bank, engine))

    answers = [bank.capture(customer.call()), bank.cancel(customer.call()), bank.capture(customer.call())]

    assert answers == [EXPIRED, cancelled(customer), EXPIRED]
    assert customer.entries() == LET_GO
    assert bank.refund(customer.call()) == Declined("not_captured", "The payment is cancelled.")


def test_what_was_cancelled_in_time_has_not_run_out(patient: Settings, engine: Engine) -> None:
    brief = SandboxGateway(patient.with_gateway_options(authorization_seconds=2))
    customer = Customer(brief, engine).bring_to(PaymentStatus.AUTHORIZED)
    assert brief.cancel(customer.call()) == cancelled(customer)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(2.05)"))

    assert brief.capture(customer.call()) == GONE

    brief.close()
    assert customer.entries() == LET_GO


def test_a_short_life_ends_by_itself(patient: Settings, engine: Engine) -> None:
    brief = SandboxGateway(patient.with_gateway_options(authorization_seconds=0.001))
    customer = Customer(brief, engine).open()
    assert isinstance(brief.authorize(customer.call()), Succeeded)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(0.01)"))

    assert brief.capture(customer.call()) == EXPIRED

    brief.close()
    assert customer.entries() == LET_GO


def test_what_was_captured_never_expires(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PaymentStatus.CAPTURED)

    assert customer.row()["authorized_until"] is None
    assert bank.expire() == 0
    assert customer.row()["status"] == PaymentStatus.CAPTURED


def test_the_same_key_gives_the_old_answer_after_the_end_too(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).open()
    call = customer.call()
    granted = bank.authorize(call)
    with engine.begin() as connection:
        connection.execute(text("UPDATE sandbox.payments SET authorized_until = now()"))

    assert bank.authorize(call) == granted
    assert bank.retrieve(customer.call()) == cancelled(customer)


def test_the_bank_voids_all_expired_ones_at_once(bank: SandboxGateway, engine: Engine) -> None:
    lapsed = [let_lapse(Customer(bank, engine)) for _ in range(3)]
    alive = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)

    assert (bank.expire(), bank.expire()) == (3, 0)

    assert [customer.entries() for customer in lapsed] == [LET_GO] * 3
    assert alive.entries() == [("authorize", 1250)]
    assert bank.capture(lapsed[0].call()) == EXPIRED
