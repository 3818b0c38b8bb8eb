"""The bank's answers about charges: each call is a transaction of its own, with the faults that the token asks for."""

import json
from dataclasses import dataclass
from typing import Final, assert_never
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from models.states import PaymentStatus
from pipeline.gateways.charges import (
    CHARGE_DISPUTED,
    REFUND_EXCEEDS_CHARGE,
    ChargeCall,
    ChargeRetrieval,
    ChargeVerb,
    FindRefundAnswer,
    RefundAbsent,
    RefundAnswer,
    Refunded,
)
from pipeline.gateways.gateway import Declined, Misconfigured, Transient, Unknown
from pipeline.gateways.sandbox.charges.rows import ADD_REFUND, find_refund, read_charge
from pipeline.gateways.sandbox.faults import HEARD, WITHOUT_EFFECT, Faults
from pipeline.gateways.sandbox.statements import SeenKey, lock_keys, lock_objects, read_keys
from pipeline.gateways.sandbox.tokens import TokenFault, find_fault

log = structlog.get_logger(__name__)

REMEMBER: Final = text("""
    INSERT INTO sandbox.requests (key, fingerprint, calls, answer)
    VALUES (:key, :fingerprint, :calls, CAST(:answer AS jsonb))
    ON CONFLICT (key) DO UPDATE SET calls = excluded.calls, answer = excluded.answer
""")

DISPUTED: Final = text("""
    SELECT coalesce(sum(amount_minor), 0)::bigint FROM sandbox.disputes
    WHERE payment = :reference AND state IN ('open', 'lost')
""")

KEY_IN_USE: Final = Unknown("key_in_use")
SERVER_ERROR: Final = Unknown("server_error")
PAYMENT_UNKNOWN: Final = Misconfigured("payment_unknown")


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to a refund, and how long it takes to arrive once it is decided."""

    answer: RefundAnswer
    delay_seconds: float = 0.0


class ChargeDesk:
    """Answers calls about charges. Any number of threads and processes may call it."""

    def __init__(self, engine: Engine, faults: Faults) -> None:
        """Take the engine of the bank's database, and its faults."""
        self._engine = engine
        self._faults = faults

    def refund_amount(self, call: ChargeCall) -> Told:
        """Refund a part; the effect is committed when this returns."""
        try:
            with self._engine.begin() as connection:
                return self._refund(connection, call)
        except SQLAlchemyError as error:
            log.warning("sandbox.database_failed", error=str(error))
            return Told(SERVER_ERROR)

    def find_refund(self, call: ChargeCall) -> FindRefundAnswer:
        """Look for the refund of a key; while a call with it is running, nothing is known."""
        try:
            with self._engine.begin() as connection:
                if not lock_keys(connection, [call.key]):
                    return KEY_IN_USE
                if (found := find_refund(connection, call.reference, call.key)) is not None:
                    return Refunded(found)
                is_known = call.reference in lock_objects(connection, [call.reference])[0]
                return RefundAbsent() if is_known else PAYMENT_UNKNOWN
        except SQLAlchemyError as error:
            log.warning("sandbox.database_failed", error=str(error))
            return SERVER_ERROR

    def retrieve_charge(self, call: ChargeCall) -> ChargeRetrieval:
        """Retrieve the charge."""
        try:
            with self._engine.begin() as connection:
                return read_charge(connection, call.reference) or PAYMENT_UNKNOWN
        except SQLAlchemyError as error:
            log.warning("sandbox.database_failed", error=str(error))
            return SERVER_ERROR

    def _refund(self, connection: Connection, call: ChargeCall) -> Told:
        if not lock_keys(connection, [call.key]):
            return Told(KEY_IN_USE)
        fingerprint = json.dumps(["refund_amount", call.reference, call.amount.minor, call.amount.currency])
        seen = read_keys(connection, [call.key]).get(call.key)
        if seen is not None and seen.fingerprint != fingerprint:
            return Told(Declined("idempotency_mismatch", "The key was used for another request."))
        if seen is not None and seen.calls == 1 and seen.age_seconds < self._held_seconds(call):
            return Told(KEY_IN_USE)
        calls = 0 if seen is None else seen.calls
        fault = self._faults.of_key(ChargeVerb.REFUND_AMOUNT, call.token, call.key, calls)
        known = SeenKey(call.key, fingerprint, calls + 1, None if seen is None else seen.answer)
        if fault in WITHOUT_EFFECT:
            _remember(connection, known)
            return self._spoil(fault, SERVER_ERROR)
        answer = self._act(connection, call) if known.answer is None else _repeat(connection, call, known)
        _remember(connection, SeenKey(known.key, fingerprint, known.calls, _keep(answer)))
        return self._spoil(fault, answer)

    def _act(self, connection: Connection, call: ChargeCall) -> Refunded | Declined | Misconfigured:
        if find_fault(ChargeVerb.REFUND_AMOUNT, call.token) is TokenFault.DECLINED:
            return Declined("refund_declined", "The token asks for it.")
        held = lock_objects(connection, [call.reference])[0].get(call.reference)
        if held is None:
            return PAYMENT_UNKNOWN
        if held.status not in (PaymentStatus.CAPTURED, PaymentStatus.REFUNDED):
            return Declined("not_captured", f"The payment is {held.status}.")
        if call.amount.currency != held.currency or call.amount.minor <= 0:
            return Declined("amount_mismatch", f"The payment is in {held.currency}.")
        left = held.captured_minor - held.refunded_minor
        if call.amount.minor > left:
            return Declined(REFUND_EXCEEDS_CHARGE, f"{left} are left to refund.")
        disputed: int = connection.execute(DISPUTED, {"reference": call.reference}).scalar_one()
        if call.amount.minor > left - disputed:
            return Declined(CHARGE_DISPUTED, f"{disputed} are disputed.")
        add_refund(connection, call.reference, call.amount.minor, call.key)
        made = find_refund(connection, call.reference, call.key)
        assert made is not None  # noqa: S101 (it was just written)
        return Refunded(made)

    def _held_seconds(self, call: ChargeCall) -> float:
        return self._faults.hold_seconds(self._faults.of_key(ChargeVerb.REFUND_AMOUNT, call.token, call.key, 0))

    def _spoil(self, fault: TokenFault | None, answer: RefundAnswer) -> Told:
        if fault is None:
            return Told(answer)
        heard = HEARD.get(fault, answer)
        spoilt = heard if isinstance(heard, Unknown | Transient | Misconfigured) else answer
        return Told(spoilt, self._faults.hold_seconds(fault))


def add_refund(connection: Connection, reference: str, amount_minor: int, key: str | None) -> str:
    """Write a refund of a locked payment, with its line in the ledger; return its reference."""
    refund = f"sbr_{uuid4().hex}"
    values = {"refund": refund, "reference": reference, "amount_minor": amount_minor, "key": key}
    connection.execute(ADD_REFUND, values)
    return refund


def _repeat(connection: Connection, call: ChargeCall, known: SeenKey) -> Refunded | Declined:
    """Return the answer of a repeat: the refund as it is now, or the same refusal."""
    found = find_refund(connection, call.reference, call.key)
    return Declined(str((known.answer or {}).get("declined"))) if found is None else Refunded(found)


def _keep(answer: Refunded | Declined | Misconfigured) -> dict[str, str] | None:
    """Return what a repeat is answered from; None for an answer that may be another one then."""
    match answer:
        case Refunded():
            return {"refunded": str(answer.refund.operation_id)}
        case Declined():
            return {"declined": answer.code}
        case Misconfigured():
            return None
        case _:
            assert_never(answer)


def _remember(connection: Connection, seen: SeenKey) -> None:
    connection.execute(
        REMEMBER,
        {
            "key": seen.key,
            "fingerprint": seen.fingerprint,
            "calls": seen.calls,
            "answer": None if seen.answer is None else json.dumps(seen.answer),
        },
    )
