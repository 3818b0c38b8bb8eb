"""The intake with its transactions and its sends: what HTTP, the intake actor and the scripts call."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection

from pipeline.carts.cart_input import Cart, TaxIdValidation
from pipeline.carts.editing import StoredCart, put_cart, read_cart
from pipeline.database.connections import reading
from pipeline.errors import Code, NotFound, Refused
from pipeline.intake import commands as intake
from pipeline.intake.commands import CommandResult
from pipeline.intake.idempotency import IdempotentRequest, StoredResponse, claim, keep
from pipeline.intake.requests import ProcessRequest, StartRequest
from pipeline.intake.status import Status, read_status
from pipeline.messaging.ports import OutgoingMessage
from pipeline.pricing.taxes.tax_ids import ask_validator, build_validator
from pipeline.saga.executor import Executor, Step
from pipeline.settings import Settings
from pipeline.webhooks.inbound.receive import Received, receive, verify_webhook

T = TypeVar("T")


class CheckoutService:
    """One transaction a request; messages go out after its commit, best effort: the sweep sends what could not go."""

    def __init__(self, executor: Executor, settings: Settings) -> None:
        """Take the transaction runner that commits and sends."""
        self.executor = executor
        self.settings = settings
        self.validator = build_validator(settings)

    def start(self, request: StartRequest) -> CommandResult:
        """Start a checkout."""
        validated = self._validate(request.cart)
        return self._admit(lambda connection: intake.start(connection, request, self.settings, validated))

    def start_many(self, requests: Sequence[StartRequest]) -> list[CommandResult | Refused]:
        """Start many checkouts in one transaction; one that is refused leaves the others alone."""
        answers: dict[int, CommandResult | Refused] = {}
        validated = [self._validate(request.cart) for request in requests]

        def work(connection: Connection) -> Step:
            answers.clear()
            # Carts are locked in the order of their ids, as everywhere.
            for index in sorted(range(len(requests)), key=lambda each: requests[each].wanted_cart_id):
                try:
                    with connection.begin_nested():
                        answers[index] = intake.start(connection, requests[index], self.settings, validated[index])
                except Refused as refusal:
                    answers[index] = refusal
            return Step(
                sends=[send for each in answers.values() if isinstance(each, CommandResult) for send in each.sends]
            )

        self.executor.run(work)
        return [answers[index] for index in range(len(requests))]

    def process(self, request: ProcessRequest) -> CommandResult:
        """Pay a started checkout."""
        return self._admit(lambda connection: intake.process(connection, request, self.settings))

    def purchase(
        self, request: StartRequest | ProcessRequest, asked: IdempotentRequest, claim_seconds: float
    ) -> CommandResult | StoredResponse:
        """Pay, by a request whose answer will be kept: its first answer, if it has had one.

        Raises what `start` and `process` raise before anything is changed, and Conflict while the same request is being
        worked on. A refusal that has turned its checkout back is in what is returned: it is committed, and an answer.
        """

        validated = self._validate(request.cart) if isinstance(request, StartRequest) else None

        def work(connection: Connection) -> CommandResult | StoredResponse:
            if (answer := claim(connection, asked, claim_seconds)) is not None:
                return answer
            if isinstance(request, StartRequest):
                return intake.start(connection, request, self.settings, validated)
            return intake.process(connection, request, self.settings)

        return self._commit(work, lambda each: each.sends if isinstance(each, CommandResult) else ())

    def keep_response(self, asked: IdempotentRequest, answer: StoredResponse, *, claimed: bool) -> None:
        """Keep what a request was answered, for its repeats."""
        self._commit(lambda connection: keep(connection, asked, answer, claimed=claimed))

    def put_cart(self, owner: str, cart: Cart) -> bool:
        """Write a cart whole; True when it is new."""
        validated = self._validate(cart)
        return self._commit(lambda connection: put_cart(connection, owner, cart, self.settings, validated))

    def read_cart(self, owner: str, cart_id: UUID) -> StoredCart:
        """Return a cart."""
        with reading(self.executor.database) as connection:
            return read_cart(connection, owner, cart_id)

    def resume(self, checkout_id: UUID, owner: str) -> CommandResult:
        """Go on after the buyer has acted at the bank."""
        return self._admit(lambda connection: intake.resume(connection, checkout_id, owner, self.settings))

    def cancel(self, checkout_id: UUID, owner: str) -> CommandResult:
        """Cancel a checkout."""
        return self._admit(lambda connection: intake.cancel(connection, checkout_id, owner, self.settings))

    def release(self, checkout_id: UUID, *, actor: str, reason: str) -> CommandResult:
        """Release a cart for an operator."""
        return self._admit(lambda connection: intake.release(connection, checkout_id, actor, reason, self.settings))

    def retry(self, checkout_id: UUID, *, actor: str, reason: str) -> CommandResult:
        """Set a checkout that needed review going again."""
        return self._admit(lambda connection: intake.retry(connection, checkout_id, actor, reason, self.settings))

    def receive_webhook(self, gateway_name: str, body: bytes, headers: Mapping[str, str]) -> Received:
        """Store a provider's webhook. It may be answered with a 200 exactly when this has returned.

        Raises NotFound or Invalid for what must be refused, and whatever kept it from being committed: the provider
        then sends it again.
        """
        if gateway_name != self.settings.gateway:
            raise NotFound(Code.GATEWAY_UNKNOWN, gateway=gateway_name)
        letter = verify_webhook(gateway_name, self.executor.gateway, body, headers)
        return self._commit(lambda connection: receive(connection, letter, self.settings), lambda each: each.sends)

    def status(
        self, *, checkout_id: UUID | None = None, cart_id: UUID | None = None, owner: str | None = None
    ) -> Status:
        """Return where a checkout stands."""
        with reading(self.executor.database) as connection:
            return read_status(connection, checkout_id=checkout_id, cart_id=cart_id, owner=owner)

    def _validate(self, cart: Cart | None) -> TaxIdValidation | None:
        """Ask about the cart's tax id, with no transaction open."""
        return ask_validator(self.validator, cart, self.settings.tax_id_validator)

    def _admit(self, work: Callable[[Connection], CommandResult]) -> CommandResult:
        admitted = self._commit(work, lambda each: each.sends)
        if admitted.refusal is not None:
            raise admitted.refusal
        return admitted

    def _commit(
        self, work: Callable[[Connection], T], find_sends: Callable[[T], Sequence[OutgoingMessage]] = lambda _: ()
    ) -> T:
        """Return what `work` returned in the transaction that committed; its messages go out after that."""
        done: list[T] = []

        def run(connection: Connection) -> Step:
            done.append(work(connection))
            return Step(sends=list(find_sends(done[-1])))

        self.executor.run(run)
        return done[-1]
