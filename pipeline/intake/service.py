"""The facade of the intake, with transactions and messages: what HTTP, the intake actor and the scripts call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from pipeline.carts import Cart, StoredCart, put_cart, read_cart
from pipeline.carts.cart_input import TaxIdValidation
from pipeline.database import TransactionRunner, is_transient, reading
from pipeline.errors import Code, NotFound, Refused
from pipeline.gateways import Gateway
from pipeline.intake import commands as intake
from pipeline.intake.idempotency import IdempotentRequest, StoredResponse, keep, take_lease
from pipeline.intake.requests import ProcessRequest, StartRequest
from pipeline.intake.result import CommandResult
from pipeline.intake.starting import NotPlainError, Start, find_plain, start_plain
from pipeline.intake.status import Status, read_status
from pipeline.messaging import OutgoingMessage, Publisher
from pipeline.pricing.taxes.tax_ids import TaxIdValidator, ask_validator, build_validator
from pipeline.settings import Settings
from pipeline.webhooks.inbound import Received, verify_webhook
from pipeline.webhooks.inbound.receive import receive

log = structlog.get_logger()

#: A group without those that are not plain is tried once more; whoever is still in it then is run alone.
GROUP_ATTEMPTS: Final = 2

T = TypeVar("T")
Result = TypeVar("Result", bound=CommandResult | StoredResponse)


class CheckoutService:
    """Runs each request in one transaction; sends messages after its commit, best effort: the sweep sends the rest."""

    def __init__(
        self,
        database: Engine,
        transactions: TransactionRunner,
        publisher: Publisher,
        gateway: Gateway,
        settings: Settings,
        *,
        validator: TaxIdValidator | None = None,
    ) -> None:
        """Take the parts; the gateway verifies its webhooks. `validator` replaces the one that the settings name."""
        self._database = database
        self._transactions = transactions
        self._publisher = publisher
        self._gateway = gateway
        self._settings = settings
        self._validator = validator or build_validator(settings)

    def start(self, request: StartRequest) -> CommandResult:
        """Start a checkout."""
        validated = self._validate(request.cart)
        return self._run(lambda connection: intake.start(connection, request, self._settings, validated))

    def start_group(self, starts: Sequence[Start]) -> list[CommandResult | None]:
        """Start the plain ones of these in one transaction; None for each that must be run by itself.

        That is one that needs a decision, whose cart is locked, or that repeats the cart or key of another one. A
        failing one never fails the others.
        """
        left = _distinct(starts)
        for _ in range(GROUP_ATTEMPTS):
            if not left:
                break
            try:
                done = self._start_plain(left)
            except NotPlainError as error:
                left = [each for each in left if each.cart_id not in error.cart_ids]
            except Exception as error:
                if is_transient(error):
                    raise
                log.exception("group.isolated", requests=len(left))
                break
            else:
                return [done.get(id(each)) for each in starts]
        return [None] * len(starts)

    def _start_plain(self, starts: Sequence[Start]) -> dict[int, CommandResult]:
        """Start the plain ones of these; each result has the `id` of its start."""

        def work(connection: Connection) -> dict[int, CommandResult]:
            plain = find_plain(connection, starts, self._settings)
            if not plain:
                return {}
            results = start_plain(connection, plain, self._settings)
            return {id(each): result for each, result in zip(plain, results, strict=True)}

        return self._commit(work, lambda done: _messages_of(list(done.values())))

    def start_many(self, requests: Sequence[StartRequest]) -> list[CommandResult | Refused]:
        """Start many checkouts; a refusal of one does not change the others."""
        starts = [Start(request, self._validate(request.cart)) for request in requests]
        done = self.start_group(starts)
        others = [start for start, result in zip(starts, done, strict=True) if result is None]
        rest = iter(self._start_each(others) if others else [])
        return [next(rest) if result is None else result for result in done]

    def _start_each(self, starts: Sequence[Start]) -> list[CommandResult | Refused]:
        """Start these one after another, in one transaction."""

        def work(connection: Connection) -> list[CommandResult | Refused]:
            results: dict[int, CommandResult | Refused] = {}
            # Carts are locked in the order of their ids, as everywhere.
            for index in sorted(range(len(starts)), key=lambda each: starts[each].cart_id):
                start = starts[index]
                try:
                    with connection.begin_nested():
                        results[index] = intake.start(connection, start.request, self._settings, start.validated)
                except Refused as refusal:
                    results[index] = refusal
            return [results[index] for index in range(len(starts))]

        return self._commit(work, _messages_of)

    def process(self, request: ProcessRequest) -> CommandResult:
        """Pay a started checkout."""
        return self._run(lambda connection: intake.process(connection, request, self._settings))

    def purchase(
        self, request: StartRequest | ProcessRequest, idempotent: IdempotentRequest, lease_seconds: float
    ) -> CommandResult | StoredResponse:
        """Run a request whose response is stored, and return its result; or the stored response of a repeat.

        Raises what `start` and `process` raise before anything is changed, and Conflict while the same request is being
        processed. A refusal that is `committed` is raised too, and its response is stored.
        """

        validated = self._validate(request.cart) if isinstance(request, StartRequest) else None

        def work(connection: Connection) -> CommandResult | StoredResponse:
            if (stored := take_lease(connection, idempotent, lease_seconds)) is not None:
                return stored
            if isinstance(request, StartRequest):
                return intake.start(connection, request, self._settings, validated)
            return intake.process(connection, request, self._settings)

        return _raise_rejection(
            self._commit(work, lambda each: each.messages if isinstance(each, CommandResult) else ())
        )

    def keep_responses(
        self, responses: Sequence[tuple[IdempotentRequest, StoredResponse]], *, leased: bool = True
    ) -> None:
        """Store the responses to these requests, for their repeats; `leased` is False for refusals."""
        self._commit(lambda connection: keep(connection, responses, leased=leased))

    def put_cart(self, owner: str, cart: Cart) -> bool:
        """Write a cart whole; True when it is new."""
        validated = self._validate(cart)
        return self._commit(lambda connection: put_cart(connection, owner, cart, self._settings, validated))

    def read_cart(self, owner: str, cart_id: UUID) -> StoredCart:
        """Return a cart."""
        with reading(self._database) as connection:
            return read_cart(connection, owner, cart_id)

    def resume(self, checkout_id: UUID, owner: str) -> CommandResult:
        """Continue after the buyer has completed 3-D Secure."""
        return self._run(lambda connection: intake.resume(connection, checkout_id, owner, self._settings))

    def cancel(self, checkout_id: UUID, owner: str) -> CommandResult:
        """Cancel a checkout."""
        return self._run(lambda connection: intake.cancel(connection, checkout_id, owner, self._settings))

    def release(self, checkout_id: UUID, *, actor: str, reason: str) -> CommandResult:
        """Release a cart for an operator."""
        return self._run(lambda connection: intake.release(connection, checkout_id, actor, reason, self._settings))

    def retry(self, checkout_id: UUID, *, actor: str, reason: str) -> CommandResult:
        """Retry a checkout that needs review."""
        return self._run(lambda connection: intake.retry(connection, checkout_id, actor, reason, self._settings))

    def receive_webhook(self, gateway_name: str, body: bytes, headers: Mapping[str, str]) -> Received:
        """Store an inbound webhook. The response may be 200 only after this has returned.

        Raises NotFound or Invalid for a webhook that must be refused, and the error of a failed commit: the provider
        then sends it again.
        """
        if gateway_name != self._settings.gateway:
            raise NotFound(Code.GATEWAY_UNKNOWN, gateway=gateway_name)
        webhook = verify_webhook(gateway_name, self._gateway, body, headers)
        return self._commit(lambda connection: receive(connection, webhook, self._settings), lambda each: each.messages)

    def status(
        self, *, checkout_id: UUID | None = None, cart_id: UUID | None = None, owner: str | None = None
    ) -> Status:
        """Return the status of a checkout."""
        with reading(self._database) as connection:
            return read_status(connection, checkout_id=checkout_id, cart_id=cart_id, owner=owner)

    def _validate(self, cart: Cart | None) -> TaxIdValidation | None:
        """Validate the cart's tax id, outside any transaction."""
        return ask_validator(self._validator, cart, self._settings.tax_id_validator)

    def _run(self, work: Callable[[Connection], CommandResult]) -> CommandResult:
        return _raise_rejection(self._commit(work, lambda each: each.messages))

    def _commit(
        self, work: Callable[[Connection], T], find_messages: Callable[[T], Sequence[OutgoingMessage]] = lambda _: ()
    ) -> T:
        """Return what `work` returned in the transaction that committed, and send its messages after that."""
        done = self._transactions.run(work)
        if messages := find_messages(done):
            self._publisher.send(messages)
        return done


def _messages_of(results: Sequence[CommandResult | Refused]) -> list[OutgoingMessage]:
    return [message for each in results if isinstance(each, CommandResult) for message in each.messages]


def _distinct(starts: Sequence[Start]) -> list[Start]:
    """Return the first of those with the same cart, or the same key of the same owner."""
    carts: set[UUID] = set()
    keys: set[tuple[str, str]] = set()
    chosen = []
    for start in starts:
        key = start.request.idempotency_key
        own_key = None if key is None else (start.request.owner, key)
        if start.cart_id not in carts and own_key not in keys:
            chosen.append(start)
            carts.add(start.cart_id)
            keys.update({own_key} if own_key is not None else ())
    return chosen


def _raise_rejection(done: Result) -> Result:
    """Return what was committed, or raise the rejection in it."""
    if isinstance(done, CommandResult) and done.rejection is not None:
        raise done.rejection
    return done
