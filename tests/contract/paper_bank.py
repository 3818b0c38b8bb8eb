"""A provider in the memory of one process: the smallest adapter that passes the conformance suite.

It needs no server, so its `build` takes no settings. `build_careless` yields one with the mistakes that the suite must
find.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from uuid import UUID, uuid4

from models.money import Money, minor_digits
from models.states import PaymentStatus
from pipeline.errors import Code, Invalid
from pipeline.gateways.charges import (
    REFUND_EXCEEDS_CHARGE,
    Charge,
    ChargeCall,
    ChargeRefund,
    ChargeRetrieval,
    FindRefundAnswer,
    RefundAbsent,
    RefundAnswer,
    Refunded,
    RefundState,
)
from pipeline.gateways.conformance.subject import Subject, Tokens, Webhook
from pipeline.gateways.gateway import (
    ALREADY_CAPTURED,
    PAYMENT_CANCELLED,
    Answer,
    Call,
    Declined,
    Held,
    InboundWebhook,
    Misconfigured,
    NotChargeable,
    Succeeded,
)

OPEN, AUTHORIZED, CAPTURED = PaymentStatus.OPEN, PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED
CANCELLED, REFUNDED = PaymentStatus.CANCELLED, PaymentStatus.REFUNDED


@dataclass
class Sheet:
    """One payment."""

    reference: str
    checkout_id: UUID
    amount: Money
    created_at: datetime
    status: PaymentStatus = OPEN
    captured_minor: int = 0
    refunded_minor: int = 0
    refunds: list[ChargeRefund] = field(default_factory=list)

    def move_to(self, status: PaymentStatus) -> Answer:
        """Set this status and return it."""
        self.status = status
        return Succeeded(self.reference, status)


class PaperBank:
    """Implements `Gateway`."""

    name = "paper"
    call_seconds = 0.1

    def __init__(self) -> None:
        """Begin without payments."""
        self.sheets: dict[str, Sheet] = {}
        self._answers: dict[str, tuple[object, Answer]] = {}
        self._lock = Lock()

    def chargeable(self, amount: Money) -> Money | NotChargeable:
        """Accept amounts below 10**12 minor units."""
        if 0 < amount.minor < 10**12 and minor_digits(amount.currency) is not None:
            return amount
        return NotChargeable("it fits on no sheet: change the cart")

    def open(self, call: Call) -> Answer:
        """Create a payment."""
        return self._once("open", call, lambda: self._open(call))

    def authorize(self, call: Call) -> Answer:
        """Authorise with the one good card."""
        return self._act("authorize", call, self._authorize)

    def capture(self, call: Call) -> Answer:
        """Capture the authorised amount."""
        return self._act("capture", call, lambda sheet, _: self._capture(sheet))

    def cancel(self, call: Call) -> Answer:
        """Cancel the payment."""
        return self._act("cancel", call, lambda sheet, _: self._cancel(sheet))

    def refund(self, call: Call) -> Answer:
        """Refund the captured amount."""
        return self._act("refund", call, lambda sheet, _: self._refund(sheet))

    def retrieve(self, call: Call) -> Answer:
        """Return the payment's status."""
        sheet = self.sheets.get(call.reference or "")
        return Misconfigured("no_such_sheet") if sheet is None else Succeeded(sheet.reference, sheet.status)

    def refund_amount(self, call: ChargeCall) -> RefundAnswer:
        """Refund a part of the captured amount, once for each key."""
        sheet = self.sheets.get(call.reference)
        if sheet is None:
            return Misconfigured("no_such_sheet")
        if sheet.status not in (CAPTURED, REFUNDED):
            return Declined("not_captured")
        with self._lock:
            if made := self._find(sheet, call.key):
                return Refunded(made) if made.amount == call.amount else Declined("key_reused")
            if call.amount.minor > sheet.captured_minor - sheet.refunded_minor:
                return Declined(REFUND_EXCEEDS_CHARGE)
            made = ChargeRefund(f"back_{uuid4().hex}", call.amount, RefundState.SUCCEEDED, call.key, datetime.now(UTC))
            sheet.refunds.append(made)
            sheet.refunded_minor += call.amount.minor
            if sheet.refunded_minor == sheet.captured_minor:
                sheet.status = REFUNDED
            return Refunded(made)

    def find_refund(self, call: ChargeCall) -> FindRefundAnswer:
        """Look for the refund of a key."""
        sheet = self.sheets.get(call.reference)
        if sheet is None:
            return Misconfigured("no_such_sheet")
        made = self._find(sheet, call.key)
        return RefundAbsent() if made is None else Refunded(made)

    def retrieve_charge(self, call: ChargeCall) -> ChargeRetrieval:
        """Return the payment with its refunds; nobody disputes on paper."""
        sheet = self.sheets.get(call.reference)
        if sheet is None:
            return Misconfigured("no_such_sheet")
        captured = Money(sheet.captured_minor, sheet.amount.currency)
        return Charge(sheet.reference, captured, tuple(sheet.refunds))

    @staticmethod
    def _find(sheet: Sheet, key: str) -> ChargeRefund | None:
        return next((each for each in sheet.refunds if each.operation_id == key), None)

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Read `event|reference|checkout`, signed with a word."""
        event_id, _, rest = body.decode("utf-8", "replace").partition("|")
        reference, _, checkout_id = rest.partition("|")
        if headers.get("sign") != f"signed {body!r}":
            raise Invalid(Code.WEBHOOK_INVALID, reason="it is not signed")
        return InboundWebhook(event_id, "paper", reference or None, UUID(checkout_id), relevant=bool(reference))

    def list_held(self, since: datetime) -> Iterator[Held]:
        """Yield the payments."""
        for each in list(self.sheets.values()):
            if each.created_at >= since:
                yield Held(
                    each.reference,
                    each.checkout_id,
                    each.status,
                    each.amount,
                    each.captured_minor,
                    each.refunded_minor,
                    each.created_at,
                )

    def close(self) -> None:
        """Do nothing."""

    def _once(self, verb: str, call: Call, act: Callable[[], Answer]) -> Answer:
        request = (verb, call)
        with self._lock:
            if call.key not in self._answers:
                self._answers[call.key] = (request, act())
            known, answer = self._answers[call.key]
        return answer if known == request else Declined("key_reused")

    def _act(self, verb: str, call: Call, act: Callable[[Sheet, Call], Answer]) -> Answer:
        sheet = self.sheets.get(call.reference or "")
        return Misconfigured("no_such_sheet") if sheet is None else self._once(verb, call, lambda: act(sheet, call))

    def _open(self, call: Call) -> Answer:
        if not 0 <= call.amount.minor < 10**12 or minor_digits(call.amount.currency) is None:
            return Declined("amount_invalid")
        sheet = Sheet(f"sheet_{uuid4().hex}", call.checkout_id, call.amount, datetime.now(UTC))
        self.sheets[sheet.reference] = sheet
        return sheet.move_to(OPEN)

    def _authorize(self, sheet: Sheet, call: Call) -> Answer:
        if sheet.status is not OPEN:
            return Declined(PAYMENT_CANCELLED if sheet.status is CANCELLED else "not_open")
        return sheet.move_to(AUTHORIZED) if call.token == "good" else Declined("bad_card")

    def _capture(self, sheet: Sheet) -> Answer:
        if sheet.status not in (AUTHORIZED, CAPTURED):
            return Declined(PAYMENT_CANCELLED if sheet.status is CANCELLED else "not_authorized")
        sheet.captured_minor = sheet.amount.minor
        return sheet.move_to(CAPTURED)

    def _cancel(self, sheet: Sheet) -> Answer:
        return Declined(ALREADY_CAPTURED) if sheet.status in (CAPTURED, REFUNDED) else sheet.move_to(CANCELLED)

    def _refund(self, sheet: Sheet) -> Answer:
        if sheet.status not in (CAPTURED, REFUNDED):
            return Declined("not_captured")
        sheet.refunded_minor = sheet.amount.minor
        return sheet.move_to(REFUNDED)


class CarelessBank(PaperBank):
    """Ignores keys, counts every capture, cancels captured payments, and trusts every webhook."""

    def retrieve(self, call: Call) -> Answer:
        """Return the payment's status; raise KeyError for an unknown one."""
        return Succeeded(call.reference or "", self.sheets[call.reference or ""].status)

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Read a webhook without verifying it."""
        return InboundWebhook(headers.get("id", "1"), "paper", body.split(b"|")[1].decode(), None)

    def _once(self, _verb: str, _call: Call, act: Callable[[], Answer]) -> Answer:
        return act()

    def _capture(self, sheet: Sheet) -> Answer:
        before = sheet.captured_minor
        answer = super()._capture(sheet)
        sheet.captured_minor += before
        return answer

    def _cancel(self, sheet: Sheet) -> Answer:
        return sheet.move_to(CANCELLED)


@contextmanager
def build() -> Iterator[Subject]:
    """Yield the correct bank."""
    yield describe(PaperBank())


@contextmanager
def build_careless() -> Iterator[Subject]:
    """Yield the bank with the mistakes."""
    yield describe(CarelessBank())


def describe(bank: PaperBank) -> Subject:
    """Return the subject of the suite; tests of its missing parts are skipped."""

    def make_webhook(reference: str | None, checkout_id: UUID, *, age_seconds: float = 0) -> Webhook:
        body = f"{uuid4()}|{reference or ''}|{checkout_id}".encode()
        return Webhook(body, {"sign": "too old" if age_seconds else f"signed {body!r}"})

    return Subject(
        gateway=bank,
        tokens=Tokens(ok="good", declined="bad"),
        missing="sheet_0",
        movements=lambda reference: (bank.sheets[reference].captured_minor, bank.sheets[reference].refunded_minor),
        count_objects=lambda checkout_id: sum(each.checkout_id == checkout_id for each in bank.sheets.values()),
        make_webhook=make_webhook,
    )
