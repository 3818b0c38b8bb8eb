"""The bank's state machine: every way through it, and every step that is not allowed and moves nothing."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.gateway import ActionRequired, Answer, Call, Declined, Misconfigured, Succeeded, Unknown
from pipeline.gateways.registry import build_gateway
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.invariants import BankTotals, read_totals
from pipeline.settings import Settings, SettingsError
from tests.integration.gateways.sandbox.customer import AMOUNT, Customer

OPEN, PENDING, AUTHORIZED = PaymentStatus.OPEN, PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZED
CAPTURED, CANCELLED, REFUNDED = PaymentStatus.CAPTURED, PaymentStatus.CANCELLED, PaymentStatus.REFUNDED

REFUSED_STEPS = [
    ("authorize", PENDING, "action_pending"),
    ("authorize", AUTHORIZED, "already_authorized"),
    ("authorize", CAPTURED, "already_captured"),
    ("authorize", REFUNDED, "already_refunded"),
    ("authorize", CANCELLED, "payment_cancelled"),
    ("capture", OPEN, "not_authorized"),
    ("capture", PENDING, "not_authorized"),
    ("capture", REFUNDED, "already_refunded"),
    ("capture", CANCELLED, "payment_cancelled"),
    ("cancel", CAPTURED, "already_captured"),
    ("cancel", REFUNDED, "already_captured"),
    ("refund", OPEN, "not_captured"),
    ("refund", PENDING, "not_captured"),
    ("refund", AUTHORIZED, "not_captured"),
    ("refund", CANCELLED, "not_captured"),
]


def ask(bank: SandboxGateway, verb: str, call: Call) -> Answer:
    asked: Callable[[Call], Answer] = getattr(bank, verb)
    return asked(call)


def code_of(answer: Answer) -> str:
    assert isinstance(answer, Declined), answer
    return answer.code


@pytest.mark.parametrize(("verb", "status", "code"), REFUSED_STEPS)
def test_a_step_that_is_not_allowed_is_declined_and_changes_nothing(
    bank: SandboxGateway, engine: Engine, verb: str, status: PaymentStatus, code: str
) -> None:
    customer = Customer(bank, engine).bring_to(status)
    before = customer.row(), customer.entries()

    answer = ask(bank, verb, customer.call())

    assert code_of(answer) == code
    assert (customer.row(), customer.entries()) == before


def test_a_payment_is_opened_authorised_captured_and_refunded(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).open()
    reference = customer.reference or ""

    assert bank.authorize(customer.call()) == bank.retrieve(customer.call()) == customer.standing()
    assert customer.row()["status"] == AUTHORIZED
    with engine.connect() as connection:
        assert read_totals(connection, [customer.id]) == {customer.id: BankTotals(1250, 0, 0)}

    assert bank.capture(customer.call()) == Succeeded(reference, CAPTURED)
    with engine.connect() as connection:
        assert read_totals(connection, [customer.id, uuid4()]) == {customer.id: BankTotals(0, 1250, 0)}

    assert bank.refund(customer.call()) == Succeeded(reference, REFUNDED)
    with engine.connect() as connection:
        assert read_totals(connection, [customer.id]) == {customer.id: BankTotals(0, 1250, 1250)}
    assert customer.entries() == [("authorize", 1250), ("capture", 1250), ("refund", 1250)]


def test_capturing_twice_captures_the_money_once(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(CAPTURED)

    answer = bank.capture(customer.call())

    assert answer == bank.retrieve(customer.call()) == Succeeded(customer.reference or "", CAPTURED)
    assert customer.entries() == [("authorize", 1250), ("capture", 1250)]


def test_refunding_twice_refunds_the_money_once(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(REFUNDED)

    answer = bank.refund(customer.call())

    assert answer == Succeeded(customer.reference or "", REFUNDED)
    assert customer.entries().count(("refund", 1250)) == 1


@pytest.mark.parametrize(("status", "entries"), [(OPEN, []), (PENDING, []), (AUTHORIZED, [("cancel", 1250)])])
def test_cancelling_twice_succeeds_and_releases_once(
    bank: SandboxGateway, engine: Engine, status: PaymentStatus, entries: list[tuple[str, int]]
) -> None:
    customer = Customer(bank, engine).bring_to(status)

    first, second = bank.cancel(customer.call()), bank.cancel(customer.call())

    assert first == second == Succeeded(customer.reference or "", CANCELLED)
    assert [entry for entry in customer.entries() if entry[0] != "authorize"] == entries
    with engine.connect() as connection:
        assert read_totals(connection, [customer.id]) == {customer.id: BankTotals(0, 0, 0)}


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("tok_declined", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_of_another_bank", "token_unknown"),
    ],
)
def test_a_declined_card_leaves_the_object_open_for_another(
    bank: SandboxGateway, engine: Engine, token: str, code: str
) -> None:
    customer = Customer(bank, engine).open()

    assert code_of(bank.authorize(customer.call(token=token))) == code
    assert customer.row()["status"] == OPEN
    assert customer.entries() == []
    assert bank.authorize(customer.call(token="tok_ok")) == customer.standing()
    assert customer.row()["status"] == AUTHORIZED


def test_the_buyer_approves_at_the_banks_page(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine, token="tok_action_required").open()
    reference = customer.reference or ""
    first = customer.call()

    answer = bank.authorize(first)

    url = f"https://bank.example/authenticate/{reference}"
    assert answer == ActionRequired(reference, {"type": "redirect", "url": url})
    assert bank.retrieve(customer.call()) == answer
    assert customer.entries() == []
    assert bank.approve(reference) == bank.retrieve(customer.call()) == customer.standing()
    assert customer.row()["status"] == AUTHORIZED
    # The key keeps its first answer; `retrieve` shows what happened since.
    assert bank.authorize(first) == answer
    assert customer.entries() == [("authorize", 1250)]


def test_the_buyer_refuses_at_the_banks_page(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PENDING)
    reference = customer.reference or ""

    assert code_of(bank.refuse(reference)) == "authentication_refused"
    assert code_of(bank.retrieve(customer.call())) == "authentication_refused"
    assert customer.row()["status"] == OPEN
    assert bank.authorize(customer.call(token="tok_ok")) == bank.retrieve(customer.call()) == customer.standing()
    assert customer.row()["status"] == AUTHORIZED


@pytest.mark.parametrize("visit", ["approve", "refuse"])
@pytest.mark.parametrize(
    ("status", "code"),
    [(CANCELLED, "payment_cancelled"), (OPEN, "action_not_pending"), (CAPTURED, "action_not_pending")],
)
def test_a_visit_to_the_bank_without_a_pending_action_changes_nothing(
    bank: SandboxGateway, engine: Engine, visit: str, status: PaymentStatus, code: str
) -> None:
    customer = Customer(bank, engine).bring_to(status)
    before = customer.row(), customer.entries()

    answer = bank.approve(customer.reference or "") if visit == "approve" else bank.refuse(customer.reference or "")

    assert code_of(answer) == code
    assert (customer.row(), customer.entries()) == before


@pytest.mark.parametrize("amount", [Money(1249, "EUR"), Money(1251, "EUR"), Money(1250, "USD")])
@pytest.mark.parametrize(
    ("verb", "status"),
    [("authorize", OPEN), ("capture", AUTHORIZED), ("capture", CAPTURED), ("refund", CAPTURED), ("refund", REFUNDED)],
)
def test_another_amount_than_the_one_that_is_due_is_declined(
    bank: SandboxGateway, engine: Engine, verb: str, status: PaymentStatus, amount: Money
) -> None:
    customer = Customer(bank, engine).bring_to(status)
    before = customer.row(), customer.entries()

    assert code_of(ask(bank, verb, customer.call(amount=amount))) == "amount_mismatch"
    assert (customer.row(), customer.entries()) == before


@pytest.mark.parametrize("amount", [Money(-1, "EUR"), Money(2**63, "EUR"), Money(1, "XAU"), Money(1, "euro")])
def test_an_amount_that_cannot_be_paid_opens_nothing(bank: SandboxGateway, engine: Engine, amount: Money) -> None:
    customer = Customer(bank, engine)

    assert code_of(bank.open(customer.call(amount=amount))) == "amount_invalid"
    assert customer.opened() == 0


@pytest.mark.parametrize("verb", ["authorize", "capture", "cancel", "refund", "retrieve"])
@pytest.mark.parametrize("reference", ["sbx_nobody", None])
def test_an_object_that_is_not_there_is_of_another_bank(
    bank: SandboxGateway, engine: Engine, verb: str, reference: str | None
) -> None:
    customer = Customer(bank, engine, reference=reference)
    call = customer.call()

    assert ask(bank, verb, call) == ask(bank, verb, call) == Misconfigured("payment_unknown")
    assert customer.opened() == 0


def test_the_registry_builds_the_sandbox_and_names_what_it_knows(settings: Settings) -> None:
    gateway = build_gateway(settings)

    assert gateway.name == "sandbox"
    gateway.close()
    assert gateway.open(Call(uuid4(), "late", AMOUNT, "tok_ok")) == Unknown("gateway_closed")
    with pytest.raises(SettingsError, match=r"no gateway 'bazaar': set CHECKOUT_GATEWAY to one of sandbox, stripe\.$"):
        build_gateway(settings.model_copy(update={"gateway": "bazaar"}))
    with pytest.raises(SettingsError, match=r"^Set CHECKOUT_SANDBOX_WEBHOOK_SECRET to whsec_ and some base64\.$"):
        build_gateway(settings.with_gateway_options(webhook_secret=SecretStr("whsec_")))
