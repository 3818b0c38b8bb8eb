"""More faults of the bank: effects without an answer, late answers, refused access, broken keys."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine

from models.states import PaymentStatus
from pipeline.gateways.gateway import Answer, Call, Misconfigured, Succeeded, Transient, Unknown, Verb
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.faults import Conduct, Faults
from pipeline.gateways.sandbox.ledger import Ledger
from pipeline.gateways.sandbox.requests import Keyed, Unkeyed, Visit
from pipeline.gateways.sandbox.tokens import TokenFault
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


def prepare(bank: SandboxGateway, engine: Engine, before: PaymentStatus | None) -> Customer:
    customer = Customer(bank, engine)
    return customer if before is None else customer.bring_to(before)


def ask(bank: SandboxGateway, verb: str, call: Call) -> Answer:
    asked: Callable[[Call], Answer] = getattr(bank, verb)
    return asked(call)


def status_of(customer: Customer) -> PaymentStatus | None:
    return PaymentStatus(customer.row()["status"]) if customer.opened() else None


@pytest.mark.parametrize(("fault", "error"), [("error_after", "server_error"), ("malformed", "malformed")])
@pytest.mark.parametrize(("verb", "before", "after"), STEPS)
def test_an_effect_without_an_answer_is_returned_on_repeat(
    bank: SandboxGateway,
    engine: Engine,
    verb: str,
    before: PaymentStatus | None,
    after: PaymentStatus,
    fault: str,
    error: str,
) -> None:
    customer = prepare(bank, engine, before)
    call = customer.call(token=f"tok_{verb}_{fault}")

    assert ask(bank, verb, call) == Unknown(error)

    assert status_of(customer) == after
    assert customer.seen(call.key) == (1, True)
    entries = customer.entries()
    assert ask(bank, verb, call) == ask(bank, verb, call) == customer.standing()
    assert (customer.opened(), customer.entries()) == (1, entries)
    assert customer.seen(call.key) == (3, True)


@pytest.mark.parametrize(("verb", "before", "after"), STEPS)
def test_an_unavailable_bank_has_done_nothing_and_is_back_on_repeat(
    bank: SandboxGateway, engine: Engine, verb: str, before: PaymentStatus | None, after: PaymentStatus
) -> None:
    customer = prepare(bank, engine, before)
    call = customer.call(token=f"tok_{verb}_unavailable")

    assert ask(bank, verb, call) == Transient("unavailable")

    assert status_of(customer) == before
    assert ask(bank, verb, call) == customer.standing()
    assert status_of(customer) == after


@pytest.mark.parametrize(("verb", "before"), [step[:2] for step in STEPS])
def test_a_misconfigured_shop_is_refused_under_every_key(
    bank: SandboxGateway, engine: Engine, verb: str, before: PaymentStatus | None
) -> None:
    customer = prepare(bank, engine, before)
    first, second = (customer.call(token=f"tok_{verb}_misconfigured") for _ in range(2))

    answers = [ask(bank, verb, call) for call in (first, first, second)]

    assert answers == [Misconfigured("access_refused")] * 3
    assert status_of(customer) == before
    assert (customer.seen(first.key), customer.seen(second.key)) == ((2, False), (1, False))


@pytest.mark.parametrize(("verb", "before", "after"), STEPS)
def test_a_broken_key_stays_broken_and_a_new_one_works(
    bank: SandboxGateway,
    other_bank: SandboxGateway,
    engine: Engine,
    verb: str,
    before: PaymentStatus | None,
    after: PaymentStatus,
) -> None:
    customer = prepare(bank, engine, before)
    first, second = (customer.call(token=f"tok_{verb}_broken") for _ in range(2))

    answers = [ask(bank, verb, first), ask(other_bank, verb, first), ask(bank, verb, first)]

    assert answers == [Unknown("server_error")] * 3
    assert status_of(customer) == before
    assert customer.seen(first.key) == (3, False)
    repeat = ask(other_bank, verb, second)
    assert repeat == ask(bank, verb, second) == customer.standing()
    assert status_of(customer) == after
    assert ask(bank, verb, first) == Unknown("server_error")
    assert customer.seen(second.key) == (2, True)


def test_a_key_breaks_for_its_own_object_only(bank: SandboxGateway, engine: Engine) -> None:
    one, other = (Customer(bank, engine, token="tok_capture_broken") for _ in range(2))
    for customer in (one, other):
        customer.bring_to(PaymentStatus.AUTHORIZED)
    call = one.call()

    assert bank.capture(call) == Unknown("server_error")

    assert bank.capture(other.call()) == Unknown("server_error")
    assert bank.capture(other.call()) == Succeeded(other.reference or "", PaymentStatus.CAPTURED)
    assert one.entries() == [("authorize", 1250)]
    assert bank.capture(one.call()) == Succeeded(one.reference or "", PaymentStatus.CAPTURED)


def test_of_many_keys_at_once_one_breaks(bank: SandboxGateway, other_bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine, token="tok_capture_broken").bring_to(PaymentStatus.AUTHORIZED)
    calls = [customer.call() for _ in range(8)]
    start = Barrier(8)

    def race(number: int) -> Answer:
        start.wait(10)
        return (bank, other_bank)[number % 2].capture(calls[number])

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(race, range(8)))

    captured = Succeeded(customer.reference or "", PaymentStatus.CAPTURED)
    assert set(answers) <= {captured, Unknown("server_error"), Unknown("key_in_use")}
    later = [bank.capture(call) for call in calls]
    assert sorted(later.count(answer) for answer in (captured, Unknown("server_error"))) == [1, 7]
    assert customer.entries() == [("authorize", 1250), ("capture", 1250)]


@pytest.mark.parametrize(("verb", "before", "after"), STEPS)
def test_a_slow_answer_is_right_and_in_time(
    patient: Settings,
    bank: SandboxGateway,
    other_bank: SandboxGateway,
    engine: Engine,
    verb: str,
    before: PaymentStatus | None,
    after: PaymentStatus,
) -> None:
    customer = prepare(bank, engine, before)
    call = customer.call(token=f"tok_{verb}_slow")
    slow = SandboxGateway(patient.model_copy(update={"gateway_timeout_seconds": 2}))
    started = time.monotonic()

    answer = ask(slow, verb, call)

    duration = time.monotonic() - started
    slow.close()
    assert 1 <= duration < 2 == slow.call_seconds
    assert answer == customer.standing()
    assert status_of(customer) == after
    # For this bank, with another time-out, slow is 10 s: it takes the call for one that is still running.
    assert ask(other_bank, verb, call) == Unknown("key_in_use")


def test_a_repeat_of_a_slow_call_is_prompt(patient: Settings, engine: Engine) -> None:
    bank = SandboxGateway(patient.model_copy(update={"gateway_timeout_seconds": 2}))
    customer = Customer(bank, engine).open()
    call = customer.call(token="tok_authorize_slow")
    first = bank.authorize(call)
    started = time.monotonic()

    second = bank.authorize(call)

    bank.close()
    assert first == second == customer.standing()
    assert time.monotonic() - started < 1


def test_chance_spoils_calls_and_never_the_ledger(bank: SandboxGateway, engine: Engine) -> None:
    ledger = Ledger(engine, Conduct(fault_rate=0.4))  # its delays are for the caller, which is not here
    heard: list[Answer] = []

    def insist(request: Keyed | Unkeyed) -> Answer:
        while isinstance(answer := ledger.carry_out([request])[0].answer, Unknown | Transient):
            heard.append(answer)
        return answer

    for _ in range(20):
        customer = Customer(bank, engine)
        opened = insist(Keyed(Verb.OPEN, customer.call()))
        assert opened == customer.standing()
        customer.reference = customer.row()["reference"]
        for verb in (Verb.AUTHORIZE, Verb.CAPTURE, Verb.REFUND):
            assert insist(Keyed(verb, customer.call())) == customer.standing()
        assert insist(Unkeyed(Visit.RETRIEVE, customer.reference)) == customer.standing()
        assert customer.entries() == [("authorize", 1250), ("capture", 1250), ("refund", 1250)]
        assert customer.opened() == 1

    assert set(heard) == {Unknown("timeout"), Unknown("server_error"), Unknown("malformed"), Transient("unavailable")}


def test_the_settings_reach_the_bank(patient: Settings, engine: Engine) -> None:
    moody = SandboxGateway(patient.with_gateway_options(fault_rate=0.99, hang_seconds=0))
    call = Customer(moody, engine).call(key="moody")
    expected = Faults(Conduct(fault_rate=0.99)).of_call(Keyed(Verb.OPEN, call), 0)

    answer = moody.open(call)

    moody.close()
    assert (expected, answer) == (TokenFault.MALFORMED, Unknown("malformed"))
