"""Partial refunds, refunds that fail later, and disputes at the bank: each once, and never more than was captured."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.charges import (
    CHARGE_DISPUTED,
    REFUND_EXCEEDS_CHARGE,
    Charge,
    ChargeCall,
    DisputeState,
    RefundAbsent,
    RefundAnswer,
    Refunded,
    RefundState,
)
from pipeline.gateways.gateway import Declined, Misconfigured, Succeeded, Transient, Unknown
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.settings import Settings
from tests.integration.gateways.sandbox.customer import AMOUNT, Customer


def charge_call(customer: Customer, minor: int, *, key: str | None = None, token: str = "") -> ChargeCall:
    call = customer.call()
    assert call.reference is not None
    return ChargeCall(
        call.checkout_id, call.reference, key or f"k-{uuid4()}", Money(minor, AMOUNT.currency), token=token
    )


def refunded_of(answer: RefundAnswer) -> int:
    assert isinstance(answer, Refunded), answer
    return answer.refund.amount.minor


@pytest.fixture
def customer(bank: SandboxGateway, engine: Engine) -> Customer:
    return Customer(bank, engine).bring_to(PaymentStatus.CAPTURED)


def read_charge(bank: SandboxGateway, customer: Customer) -> Charge:
    found = bank.retrieve_charge(charge_call(customer, 1))
    assert isinstance(found, Charge)
    return found


def test_parts_add_up_and_the_last_one_ends_the_payment(bank: SandboxGateway, customer: Customer) -> None:
    first, rest = charge_call(customer, 100), charge_call(customer, AMOUNT.minor - 100)

    assert refunded_of(bank.refund_amount(first)) == 100
    assert (customer.row()["refunded_minor"], customer.row()["status"]) == (100, PaymentStatus.CAPTURED)
    assert refunded_of(bank.refund_amount(rest)) == AMOUNT.minor - 100
    assert (customer.row()["refunded_minor"], customer.row()["status"]) == (AMOUNT.minor, PaymentStatus.REFUNDED)

    shown = read_charge(bank, customer)
    assert shown.captured == AMOUNT
    assert [(each.amount.minor, each.operation_id, each.state) for each in shown.refunds] == [
        (100, first.key, RefundState.SUCCEEDED),
        (AMOUNT.minor - 100, rest.key, RefundState.SUCCEEDED),
    ]


def test_a_repeat_has_one_effect_and_another_amount_is_refused(bank: SandboxGateway, customer: Customer) -> None:
    call = charge_call(customer, 100)

    assert bank.refund_amount(call) == bank.refund_amount(call)
    other = bank.refund_amount(charge_call(customer, 101, key=call.key))

    assert other == Declined("idempotency_mismatch", "The key was used for another request.")
    assert customer.row()["refunded_minor"] == 100


@pytest.mark.parametrize("minor", [0, -1, AMOUNT.minor + 1])
def test_an_impossible_amount_moves_nothing(bank: SandboxGateway, customer: Customer, minor: int) -> None:
    before = customer.row(), customer.entries()

    answer = bank.refund_amount(charge_call(customer, minor))

    assert isinstance(answer, Declined)
    assert answer.code == (REFUND_EXCEEDS_CHARGE if minor > 0 else "amount_mismatch")
    assert (customer.row(), customer.entries()) == before


def test_what_is_not_captured_cannot_be_refunded_in_part(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)

    answer = bank.refund_amount(charge_call(customer, 1))

    assert answer == Declined("not_captured", "The payment is authorized.")
    assert bank.retrieve_charge(charge_call(customer, 1)) == Misconfigured("payment_unknown")


@pytest.mark.parametrize(
    ("fault", "heard", "moved"),
    [
        ("timeout_before", Unknown("timeout"), False),
        ("timeout_after", Unknown("timeout"), True),
        ("error", Unknown("server_error"), False),
        ("error_after", Unknown("server_error"), True),
        ("malformed", Unknown("malformed"), True),
        ("unavailable", Transient("unavailable"), False),
        ("misconfigured", Misconfigured("access_refused"), False),
        ("declined", Declined("refund_declined", "The token asks for it."), False),
    ],
)
def test_a_fault_is_found_by_its_key(
    bank: SandboxGateway, customer: Customer, fault: str, heard: RefundAnswer, *, moved: bool
) -> None:
    call = charge_call(customer, 100, token=f"tok_refund_amount_{fault}")

    answer = bank.refund_amount(call)

    assert answer == heard
    assert customer.row()["refunded_minor"] == (100 if moved else 0)
    found = bank.find_refund(call)
    assert (found == RefundAbsent()) is not moved
    if moved:
        assert isinstance(found, Refunded)
        assert (found.refund.operation_id, found.refund.amount.minor) == (call.key, 100)


def test_of_two_for_the_last_money_one_wins(
    bank: SandboxGateway, other_bank: SandboxGateway, customer: Customer
) -> None:
    calls = [charge_call(customer, AMOUNT.minor) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        answers = list(
            threads.map(lambda pair: pair[0].refund_amount(pair[1]), zip((bank, other_bank), calls, strict=True))
        )

    assert sorted(type(each).__name__ for each in answers) == ["Declined", "Refunded"]
    assert customer.row()["refunded_minor"] == AMOUNT.minor


def test_a_refund_that_fails_later_gives_the_money_back(bank: SandboxGateway, customer: Customer) -> None:
    answer = bank.refund_amount(charge_call(customer, AMOUNT.minor))
    assert isinstance(answer, Refunded)

    assert bank.dashboard.fail_refund(answer.refund.reference)
    assert not bank.dashboard.fail_refund(answer.refund.reference)

    (shown,) = read_charge(bank, customer).refunds
    assert (shown.state, shown.failure) == (RefundState.FAILED, "expired_or_canceled_card")
    assert (customer.row()["refunded_minor"], customer.row()["status"]) == (0, PaymentStatus.CAPTURED)
    assert refunded_of(bank.refund_amount(charge_call(customer, AMOUNT.minor))) == AMOUNT.minor


def test_what_is_disputed_cannot_be_refunded_until_it_is_won(bank: SandboxGateway, customer: Customer) -> None:
    dispute = bank.dashboard.open_dispute(customer.row()["reference"], 100)

    answer = bank.refund_amount(charge_call(customer, AMOUNT.minor))
    assert isinstance(answer, Declined)
    assert answer.code == CHARGE_DISPUTED
    assert refunded_of(bank.refund_amount(charge_call(customer, AMOUNT.minor - 100))) == AMOUNT.minor - 100
    assert bank.dashboard.close_dispute(dispute, won=True)
    assert not bank.dashboard.close_dispute(dispute, won=False)

    (shown,) = read_charge(bank, customer).disputes
    assert (shown.reference, shown.amount.minor, shown.state) == (dispute, 100, DisputeState.WON)
    assert refunded_of(bank.refund_amount(charge_call(customer, 100))) == 100


def test_the_dashboard_refunds_no_more_than_is_left(bank: SandboxGateway, customer: Customer) -> None:
    reference = customer.row()["reference"]
    made = bank.dashboard.refund(reference, 100)

    with pytest.raises(ValueError, match="cannot be refunded"):
        bank.dashboard.refund(reference, AMOUNT.minor)

    (shown,) = read_charge(bank, customer).refunds
    assert (shown.reference, shown.operation_id, shown.amount.minor) == (made, None, 100)


@pytest.mark.parametrize("minor", [0, -1, AMOUNT.minor + 1])
def test_no_more_is_disputed_than_was_captured(bank: SandboxGateway, customer: Customer, minor: int) -> None:
    before = customer.entries()

    with pytest.raises(ValueError, match="cannot be disputed"):
        bank.dashboard.open_dispute(customer.row()["reference"], minor)

    assert read_charge(bank, customer).disputes == ()
    assert customer.entries() == before


def test_what_is_not_captured_cannot_be_disputed(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)

    with pytest.raises(ValueError, match="cannot be disputed"):
        bank.dashboard.open_dispute(customer.row()["reference"], 1)


def test_the_whole_is_refunded_after_a_part(bank: SandboxGateway, customer: Customer) -> None:
    reference = customer.row()["reference"]
    bank.dashboard.refund(reference, 100)

    answer = bank.refund(customer.call())

    assert answer == Succeeded(reference, PaymentStatus.REFUNDED)
    assert customer.row()["refunded_minor"] == AMOUNT.minor
    assert [minor for kind, minor in customer.entries() if kind == "refund"] == [100, AMOUNT.minor - 100]


def test_each_line_of_the_ledger_is_a_webhook_about_the_payment(
    patient: Settings, customer: Customer, engine: Engine, bank: SandboxGateway
) -> None:
    del engine
    answer = bank.refund_amount(charge_call(customer, 100))
    assert isinstance(answer, Refunded)
    bank.dashboard.fail_refund(answer.refund.reference)
    dispute = bank.dashboard.open_dispute(customer.row()["reference"], 100)
    bank.dashboard.close_dispute(dispute, won=False)

    heard = [bank.read_webhook(each.body, each.headers) for each in bank.events()]

    assert [each.kind for each in heard][-4:] == [
        "payment.refunded",
        "refund.failed",
        "dispute.opened",
        "dispute.lost",
    ]
    assert {(each.reference, each.checkout_id, each.relevant) for each in heard} == {
        (customer.row()["reference"], customer.call().checkout_id, True)
    }
    assert patient.gateway == "sandbox"


def test_the_list_for_reconciliation_counts_parts_and_disputes(bank: SandboxGateway, customer: Customer) -> None:
    bank.refund_amount(charge_call(customer, 100))
    bank.dashboard.open_dispute(customer.row()["reference"], 200)

    (held,) = bank.list_held(customer.row()["created_at"])

    assert (held.captured_minor, held.refunded_minor, held.disputed_minor) == (AMOUNT.minor, 100, 200)
