"""A bank that agrees to everything at once and keeps no ledger: the engine without the sandbox's own work.

`dramatiq scripts.benchmarks.bank:build_broker` is a worker that calls it. It has no entry point, so no setting can
select it by accident.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from models.money import Money
from models.states import PaymentStatus
from pipeline.errors import Code, Invalid
from pipeline.gateways.charges import ChargeCall, ChargeRetrieval, FindRefundAnswer, RefundAnswer
from pipeline.gateways.gateway import Answer, Call, Held, InboundWebhook, Succeeded, Unknown
from workers import main
from workers.broker.batch_broker import BatchBroker


class AgreeingBank:
    """Implements `Gateway`."""

    name = "agreeing"
    call_seconds = 0.1

    def chargeable(self, amount: Money) -> Money:
        """Agree."""
        return amount

    def open(self, call: Call) -> Answer:
        """Agree."""
        return Succeeded(f"agreed_{call.checkout_id}", PaymentStatus.OPEN)

    def authorize(self, call: Call) -> Answer:
        """Agree."""
        return Succeeded(f"agreed_{call.checkout_id}", PaymentStatus.AUTHORIZED)

    def capture(self, call: Call) -> Answer:
        """Agree."""
        return Succeeded(f"agreed_{call.checkout_id}", PaymentStatus.CAPTURED)

    def cancel(self, call: Call) -> Answer:
        """Agree."""
        return Succeeded(f"agreed_{call.checkout_id}", PaymentStatus.CANCELLED)

    def refund(self, call: Call) -> Answer:
        """Agree."""
        return Succeeded(f"agreed_{call.checkout_id}", PaymentStatus.REFUNDED)

    def retrieve(self, call: Call) -> Answer:
        """Return Unknown: it has no ledger."""
        return Unknown(f"no_ledger:{call.checkout_id}")

    def refund_amount(self, call: ChargeCall) -> RefundAnswer:
        """Return Unknown: it has no ledger."""
        return Unknown(f"no_ledger:{call.checkout_id}")

    def find_refund(self, call: ChargeCall) -> FindRefundAnswer:
        """Return Unknown: it has no ledger."""
        return Unknown(f"no_ledger:{call.checkout_id}")

    def retrieve_charge(self, call: ChargeCall) -> ChargeRetrieval:
        """Return Unknown: it has no ledger."""
        return Unknown(f"no_ledger:{call.checkout_id}")

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Refuse every webhook: it sends none."""
        raise Invalid(Code.WEBHOOK_INVALID, reason=f"{len(body)} bytes with {len(headers)} headers from no sender")

    def list_held(self, since: datetime) -> Iterator[Held]:
        """Return no payments."""
        del since
        return iter(())

    def close(self) -> None:
        """Do nothing."""


def build_broker() -> BatchBroker:
    """Build a worker of the engine with this bank."""
    return main.build_broker(gateway=AgreeingBank())
