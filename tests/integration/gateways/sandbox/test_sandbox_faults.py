"""The ways in which the bank misbehaves, verb by verb, and what its keys guarantee through all of it."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.gateway import Answer, Call, Declined, Succeeded, Unknown
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.settings import Settings
from tests.integration.gateways.sandbox.customer import Customer

#: The verb, the status it starts from, and the one it leads to.
STEPS = [
    ("open", None, PaymentStatus.OPEN),
    ("authorize", PaymentStatus.OPEN, PaymentStatus.AUTHORIZED),
    ("capture", PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED),
    ("cancel", PaymentStatus.AUTHORIZED, PaymentStatus.CANCELLED),
    ("refund", PaymentStatus.CAPTURED, PaymentStatus.REFUNDED),
]
HANG_SECONDS = 0.2


def prepare(bank: SandboxGateway, engine: Engine, before: PaymentStatus | None) -> Customer:
    customer = Customer(bank, engine)
    return customer if before is None else customer.bring_to(before)


def ask(bank: SandboxGateway, verb: str, call: Call) -> Answer:
    asked: Callable[[Call], Answer] = getattr(bank, verb)
    return asked(call)


def age_requests(engine: Engine, seconds: int) -> None:
    """Let so much time pass since the bank saw each key first."""
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE sandbox.requests SET created_at = created_at - make_interval(secs => :seconds)"),
            {"seconds": seconds},
        )


def status_of(customer: Customer) -> PaymentStatus | None:
    return PaymentStatus(customer.row()["status"]) if customer.opened() else None


@pytest.mark.parametrize(("verb", "before", "after"), STEPS)
def test_a_timeout_before_the_effect_has_none_until_the_key_is_repeated(
    bank: SandboxGateway, engine: Engine, verb: str, before: PaymentStatus | None, after: PaymentStatus
) -> None:
    customer = prepare(bank, engine, before)
    call = customer.call(token=f"tok_{verb}_timeout_before")
    started = time.monotonic()

    answer = ask(bank, verb, call)

    assert time.monotonic() - started >= HANG_SECONDS
    assert answer == Unknown("timeout")
    assert status_of(customer) == before
    assert customer.seen(call.key) == (1, False)
    repeated = ask(bank, verb, call)
    assert isinstance(repeated, Succeeded)
    assert repeated.status == status_of(customer) == after
    assert customer.seen(call.key) == (2, True)


@pytest.mark.parametrize(("verb", "before", "after"), STEPS)
def test_a_timeout_after_the_effect_keeps_it_and_a_repeat_returns_it(
    bank: SandboxGateway, engine: Engine, verb: str, before: PaymentStatus | None, after: PaymentStatus
) -> None:
    customer = prepare(bank, engine, before)
    call = customer.call(token=f"tok_{verb}_timeout_after")
    started = time.monotonic()

    answer = ask(bank, verb, call)

    assert time.monotonic() - started >= HANG_SECONDS
    assert answer == Unknown("timeout")
    assert status_of(customer) == after
    assert customer.seen(call.key) == (1, True)
    entries = customer.entries()
    repeated = ask(bank, verb, call)
    assert repeated == customer.standing()
    assert (customer.opened(), customer.entries()) == (1, entries)
    assert customer.seen(call.key) == (2, True)


@pytest.mark.parametrize(("verb", "before", "after"), STEPS)
def test_a_server_error_has_no_effect_until_the_key_is_repeated(
    bank: SandboxGateway, engine: Engine, verb: str, before: PaymentStatus | None, after: PaymentStatus
) -> None:
    customer = prepare(bank, engine, before)
    call = customer.call(token=f"tok_{verb}_error")

    assert ask(bank, verb, call) == Unknown("server_error")
    assert status_of(customer) == before
    assert ask(bank, verb, call) == customer.standing()
    assert status_of(customer) == after


@pytest.mark.parametrize(("verb", "before", "after"), STEPS)
def test_a_declined_verb_is_declined_with_every_key(
    bank: SandboxGateway, engine: Engine, verb: str, before: PaymentStatus | None, after: PaymentStatus
) -> None:
    customer = prepare(bank, engine, before)
    first, second = customer.call(token=f"tok_{verb}_declined"), customer.call(token=f"tok_{verb}_declined")

    for call in (first, first, second):
        answer = ask(bank, verb, call)
        assert isinstance(answer, Declined)
        assert answer.code == f"{verb}_declined"
    assert status_of(customer) == before


@pytest.mark.parametrize(("verb", "before"), [step[:2] for step in STEPS])
def test_a_key_is_honoured_once_from_any_process(
    bank: SandboxGateway, other_bank: SandboxGateway, engine: Engine, verb: str, before: PaymentStatus | None
) -> None:
    customer = prepare(bank, engine, before)
    call = customer.call()

    first = ask(bank, verb, call)

    assert isinstance(first, Succeeded)
    row, entries = customer.row(), customer.entries()
    assert ask(bank, verb, call) == ask(other_bank, verb, call) == first
    assert (customer.row(), customer.entries()) == (row, entries)
    assert customer.seen(call.key) == (3, True)


def test_a_key_comes_back_only_with_the_same_request(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).open()
    call = customer.call()
    assert isinstance(bank.authorize(call), Succeeded)
    row, entries = customer.row(), customer.entries()

    answers = [
        bank.capture(call),
        bank.authorize(replace(call, amount=Money(1251, "EUR"))),
        bank.authorize(replace(call, amount=Money(1250, "USD"))),
        bank.authorize(replace(call, token="tok_declined")),
        bank.authorize(replace(call, reference="sbx_another")),
    ]

    assert [answer.code for answer in answers if isinstance(answer, Declined)] == ["idempotency_mismatch"] * 5
    assert (customer.row(), customer.entries()) == (row, entries)
    assert customer.seen(call.key) == (1, True)


def test_a_decline_is_kept_with_its_key(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine, token="tok_declined").open()
    call = customer.call()

    first = bank.authorize(call)

    assert first == Declined("card_declined", "The card was declined.")
    assert bank.authorize(call) == first
    assert customer.seen(call.key) == (2, True)


def test_a_hanging_key_is_in_use_for_everybody_until_the_hang_is_over(
    bank: SandboxGateway, patient: Settings, engine: Engine
) -> None:
    customer = Customer(bank, engine).open()
    call = customer.call(token="tok_authorize_timeout_after")
    hanging = patient.with_gateway_options(hang_seconds=20)
    hasty = SandboxGateway(hanging.model_copy(update={"gateway_timeout_seconds": 0.2}))
    other_bank = SandboxGateway(hanging)
    # It gave up after 0.2 s, and the bank has its call; for the other one, which hangs for 20 s, it is still at it.
    assert hasty.authorize(call) == Unknown("timeout")
    hasty.close()
    assert customer.seen(call.key) == (1, True)

    early = other_bank.authorize(call)
    age_requests(engine, 20)
    late = other_bank.authorize(call)

    other_bank.close()
    assert early == Unknown("key_in_use")
    assert late == customer.standing()
    assert customer.entries() == [("authorize", 1250)]


def test_latency_is_paid_and_never_more_than_the_timeout(patient: Settings, engine: Engine) -> None:
    slow = SandboxGateway(patient.with_gateway_options(latency_seconds=0.1))
    absent = SandboxGateway(
        patient.model_copy(update={"gateway_timeout_seconds": 0.1}).with_gateway_options(latency_seconds=60)
    )
    started = time.monotonic()
    customer = Customer(slow, engine).open()
    opened = time.monotonic()

    answer = absent.capture(customer.call(key="never"))

    assert opened - started >= 0.1
    assert answer == Unknown("timeout")
    assert time.monotonic() - opened < 10
    # Half of a minute lies before the bank: it was never asked.
    assert customer.seen("never") is None
    slow.close()
    absent.close()


CHILD = """
import sys
from uuid import UUID
from pydantic import SecretStr
from models.money import Money
from pipeline.gateways.gateway import Call
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.settings import SandboxSettings
from pipeline.settings import Settings

database_url, checkout_id, reference = sys.argv[1:]
settings = Settings(_env_file=None, database_url=SecretStr(database_url), redis_url=SecretStr("redis://"),
                    gateway_timeout_seconds=60)
bank = SandboxGateway(settings, SandboxSettings(_env_file=None, hang_seconds=60))
bank.capture(Call(UUID(checkout_id), "kill", Money(1250, "EUR"), "tok_capture_timeout_after", reference))
"""


def test_the_bank_keeps_what_it_did_for_a_caller_that_was_killed(
    bank: SandboxGateway, patient: Settings, engine: Engine
) -> None:
    customer = Customer(bank, engine, token="tok_capture_timeout_after").bring_to(PaymentStatus.AUTHORIZED)
    arguments = [patient.database_url.get_secret_value(), str(customer.id), customer.reference or ""]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments])
    ends_at = time.monotonic() + 30
    while customer.row()["status"] != "captured" and time.monotonic() < ends_at:
        time.sleep(0.02)
    child.kill()
    assert child.wait(10) == -9

    # As if the hang of this bank (0.2 s) were over.
    age_requests(engine, 1)
    answer = bank.capture(customer.call(key="kill"))

    assert answer == Succeeded(customer.reference or "", PaymentStatus.CAPTURED)
    assert customer.entries() == [("authorize", 1250), ("capture", 1250)]
