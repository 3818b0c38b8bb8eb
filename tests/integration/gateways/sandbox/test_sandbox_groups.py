"""Many callers at once, one transaction: neighbours neither wait for each other nor fail with each other."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, make_url, text

from models.states import PaymentStatus
from pipeline.database import connect_engine
from pipeline.gateways.gateway import Answer, Call, Declined, Succeeded, Unknown, Verb
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.faults import Conduct
from pipeline.gateways.sandbox.ledger import Ledger
from pipeline.gateways.sandbox.requests import Keyed
from pipeline.gateways.sandbox.statements import lock_keys
from pipeline.settings import Settings
from tests.integration.gateways.sandbox.customer import AMOUNT, Customer

LOCK_ROW = text("SELECT 1 FROM sandbox.payments WHERE reference = :reference FOR UPDATE")
WAITING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'checkout.sandbox' AND wait_event_type = 'Lock'"
WAITING_HERE = f"{WAITING} AND datname = current_database()"


def wait_until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


@contextmanager
def held_up(engine: Engine, reference: str | None) -> Iterator[None]:
    """Keep the object's row locked, as a slow colleague at the bank would."""
    with engine.begin() as connection:
        connection.execute(LOCK_ROW, {"reference": reference})
        yield


def is_waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        return connection.execute(text(WAITING_HERE)).first() is not None


def test_all_that_waits_is_written_in_one_transaction(bank: SandboxGateway, engine: Engine) -> None:
    blocked = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)
    customers = [Customer(bank, engine) for _ in range(200)]
    before = bank.commits
    with ThreadPoolExecutor(201) as threads:
        with held_up(engine, blocked.reference):
            first = threads.submit(bank.capture, blocked.call())
            wait_until(lambda: is_waiting(engine))
            answers = [threads.submit(bank.open, customer.call()) for customer in customers]
            wait_until(lambda: bank._writer._queue.qsize() == 200)
        opened = [answer.result(30) for answer in answers]

    assert first.result(30) == Succeeded(blocked.reference or "", PaymentStatus.CAPTURED)
    assert len({answer.reference for answer in opened if isinstance(answer, Succeeded)}) == 200
    assert bank.commits - before == 2


@pytest.mark.parametrize(
    ("verbs", "expected"),
    [
        # Keys are locked and read, objects are locked, all is written at once.
        ([Verb.OPEN] * 20, 3),
        ([Verb.CAPTURE], 4),
        ([Verb.OPEN, Verb.CAPTURE, Verb.CANCEL, Verb.REFUND] * 20, 4),
    ],
)
def test_a_group_needs_as_many_statements_as_one_call(
    bank: SandboxGateway, engine: Engine, verbs: list[Verb], expected: int
) -> None:
    requests = [Keyed(verb, Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED).call()) for verb in verbs]
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    Ledger(engine, Conduct()).carry_out(requests)
    event.remove(engine, "before_cursor_execute", note)

    assert len(statements) == expected


def test_a_group_is_bounded(bank: SandboxGateway, engine: Engine) -> None:
    blocked = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)
    before = bank.commits
    with held_up(engine, blocked.reference):
        futures = [bank._writer.submit(Keyed(Verb.CAPTURE, blocked.call()))]
        wait_until(lambda: is_waiting(engine))
        futures += [bank._writer.submit(Keyed(Verb.OPEN, Customer(bank, engine).call())) for _ in range(257)]

    assert all(isinstance(future.result(30).answer, Succeeded) for future in futures)
    assert bank.commits - before == 3


def test_two_banks_racing_for_one_key_have_one_effect(
    bank: SandboxGateway, other_bank: SandboxGateway, engine: Engine
) -> None:
    for _ in range(20):
        customer = Customer(bank, engine)
        call = customer.call()
        start = Barrier(16)

        def race(number: int, call: Call = call, start: Barrier = start) -> Answer:
            start.wait(10)
            return (bank, other_bank)[number % 2].open(call)

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(race, range(16)))

        reference = customer.row()["reference"]  # exactly one object
        assert set(answers) <= {Succeeded(reference, PaymentStatus.OPEN), Unknown("key_in_use")}
        assert Succeeded(reference, PaymentStatus.OPEN) in answers
        assert other_bank.open(call) == Succeeded(reference, PaymentStatus.OPEN)


def test_two_banks_racing_to_cancel_and_capture_agree_on_the_first(
    bank: SandboxGateway, other_bank: SandboxGateway, engine: Engine
) -> None:
    for _ in range(20):
        customer = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)
        start = Barrier(2)

        def race(verb: Callable[[Call], Answer], customer: Customer = customer, start: Barrier = start) -> Answer:
            start.wait(10)
            return verb(customer.call())

        with ThreadPoolExecutor(2) as threads:
            cancelled, captured = threads.map(race, [bank.cancel, other_bank.capture])

        if isinstance(captured, Succeeded):
            assert cancelled == Declined("already_captured", "The payment is captured.")
            assert customer.entries() == [("authorize", 1250), ("capture", 1250)]
        else:
            assert captured == Declined("payment_cancelled", "The payment is cancelled.")
            assert cancelled == Succeeded(customer.reference or "", PaymentStatus.CANCELLED)
            assert customer.entries() == [("authorize", 1250), ("cancel", 1250)]


def test_a_key_at_work_elsewhere_is_in_use_and_leaves_no_trace(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine)
    call = customer.call()
    with engine.begin() as elsewhere:
        assert lock_keys(elsewhere, [call.key]) == {call.key}

        assert bank.open(call) == Unknown("key_in_use")

    assert customer.opened() == 0
    assert customer.seen(call.key) is None
    assert isinstance(bank.open(call), Succeeded)


def test_one_group_is_answered_in_order_and_one_by_one(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).open()
    authorize, twice, capture = customer.call(), customer.call(), customer.call()
    requests = [
        Keyed(Verb.AUTHORIZE, authorize),
        Keyed(Verb.AUTHORIZE, authorize),
        Keyed(Verb.AUTHORIZE, twice),
        Keyed(Verb.CAPTURE, capture),
        Keyed(Verb.CANCEL, customer.call()),
    ]

    replies = Ledger(engine, Conduct()).carry_out(requests)

    granted = replies[0].answer
    assert isinstance(granted, Succeeded)
    assert granted.authorized_until is not None
    assert [reply.answer for reply in replies] == [
        Succeeded(customer.reference or "", PaymentStatus.AUTHORIZED, granted.authorized_until),
        Unknown("key_in_use"),
        Declined("already_authorized", "The payment is authorized."),
        Succeeded(customer.reference or "", PaymentStatus.CAPTURED),
        Declined("already_captured", "The payment is captured."),
    ]
    assert customer.entries() == [("authorize", 1250), ("capture", 1250)]
    repeated = Ledger(engine, Conduct()).carry_out([Keyed(Verb.CAPTURE, capture)] * 2)
    assert [reply.answer for reply in repeated] == [Succeeded(customer.reference or "", PaymentStatus.CAPTURED)] * 2
    assert customer.seen(capture.key) == (3, True)


@pytest.mark.parametrize("poison", ["a\x00b", "\ud800"])
def test_a_request_that_cannot_be_stored_is_declined_and_its_neighbours_go_on(
    bank: SandboxGateway, engine: Engine, poison: str
) -> None:
    ledger = Ledger(engine, Conduct())
    good, bad, fine = (Customer(bank, engine) for _ in range(3))
    calls = [good.call(), bad.call(key=poison), fine.call()]

    replies = ledger.carry_out([Keyed(Verb.OPEN, call) for call in calls])

    assert [type(reply.answer) for reply in replies] == [Succeeded, Declined, Succeeded]
    assert replies[1].answer == Declined("request_invalid")
    assert [good.opened(), bad.opened(), fine.opened()] == [1, 0, 1]


def test_a_broken_row_in_the_ledger_fails_only_its_own_call(engine: Engine, bank: SandboxGateway) -> None:
    good, bad = Customer(bank, engine), Customer(bank, engine)
    call = bad.call()
    bank.open(call)
    with engine.begin() as connection:
        connection.execute(
            text("""UPDATE sandbox.requests SET answer = '{"maybe": 1}' WHERE key = :key"""), {"key": call.key}
        )

    replies = Ledger(engine, Conduct()).carry_out([Keyed(Verb.OPEN, call), Keyed(Verb.OPEN, good.call())])

    assert replies[0].answer == Unknown("server_error")
    assert isinstance(replies[1].answer, Succeeded)
    assert (good.opened(), bad.opened()) == (1, 1)


def test_a_lost_connection_is_unknown_and_the_next_call_works(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)
    call = customer.call()
    with ThreadPoolExecutor(1) as threads, held_up(engine, customer.reference):
        answer = threads.submit(bank.capture, call)
        wait_until(lambda: is_waiting(engine))
        with engine.connect() as connection:
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({WAITING_HERE}) w"))
        assert answer.result(30) == Unknown("server_error")

    assert customer.entries() == [("authorize", 1250)]
    assert bank.capture(call) == Succeeded(customer.reference or "", PaymentStatus.CAPTURED)


def test_a_database_that_is_away_is_unknown(settings: Settings) -> None:
    nowhere = make_url(settings.database_url.get_secret_value()).set(database="no_such_database")
    engine = connect_engine(settings, application_name="test", url=nowhere.render_as_string(hide_password=False))
    call = Call(uuid4(), "away", AMOUNT, "tok_ok")

    assert Ledger(engine, Conduct()).carry_out([Keyed(Verb.OPEN, call)])[0].answer == Unknown("server_error")
    engine.dispose()


def test_a_call_given_up_may_still_happen(bank: SandboxGateway, patient: Settings, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)
    call = customer.call()
    hasty = SandboxGateway(patient.model_copy(update={"gateway_timeout_seconds": 0.2}))
    with held_up(engine, customer.reference):
        assert hasty.capture(call) == Unknown("timeout")
        assert customer.entries() == [("authorize", 1250)]
    hasty.close()

    assert customer.entries() == [("authorize", 1250), ("capture", 1250)]
    assert bank.capture(call) == Succeeded(customer.reference or "", PaymentStatus.CAPTURED)


def test_closing_answers_the_waiting_requests(patient: Settings, engine: Engine) -> None:
    bank = SandboxGateway(patient)
    futures = [bank._writer.submit(Keyed(Verb.OPEN, Customer(bank, engine).call())) for _ in range(300)]

    bank.close()
    bank.close()

    assert all(isinstance(future.result(0).answer, Succeeded) for future in futures)
    assert bank.open(Customer(bank, engine).call()) == Unknown("gateway_closed")
