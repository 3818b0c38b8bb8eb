"""The facade over what changes placed orders, with transactions and messages: what HTTP and people's commands call."""

from collections.abc import Callable
from uuid import UUID, uuid4

from sqlalchemy import Connection

from pipeline.database import TransactionRunner
from pipeline.messaging import Publisher
from pipeline.orders.commands import request_change
from pipeline.orders.reading import ChangeView, read_change
from pipeline.orders.requests import ChangeRequest, Resolution
from pipeline.orders.result import ChangeResult
from pipeline.orders.settling import settle_change
from pipeline.settings import Settings


class _Drafted(Exception):
    """Carries a change out of a transaction that must not commit."""

    def __init__(self, change: ChangeView) -> None:
        super().__init__()
        self.change = change


class OrderService:
    """Runs each request in one transaction; sends messages after its commit, best effort: the sweep sends the rest."""

    def __init__(self, transactions: TransactionRunner, publisher: Publisher, settings: Settings) -> None:
        """Take the parts."""
        self._transactions = transactions
        self._publisher = publisher
        self._settings = settings

    def request(
        self, order_id: UUID, owner: str | None, request: ChangeRequest, *, actor: str, idempotency_key: str
    ) -> ChangeResult:
        """Request a change of an order, once for each key of the order's owner. `owner` is None for operators.

        The same key and request returns the same change. Raises NotFound, Conflict or Invalid with what is left; then
        nothing is changed. `actor` is who asks: `key:<id>` or `operator:<name>`.
        """
        return self._commit(
            lambda connection: request_change(
                connection, order_id, owner, request, self._settings, actor=actor, key=idempotency_key
            )
        )

    def preview(self, order_id: UUID, owner: str | None, request: ChangeRequest) -> ChangeView:
        """Return the change that this request would make now, with its amounts. Nothing is stored, sent or called.

        Raises what `request` raises.
        """

        def draft(connection: Connection) -> None:
            made = request_change(
                connection, order_id, owner, request, self._settings, actor="preview", key=str(uuid4())
            )
            raise _Drafted(read_change(connection, made.change_id, owner))

        try:
            self._transactions.run(draft)
        except _Drafted as drafted:
            return drafted.change
        raise AssertionError("a draft always ends its transaction")

    def settle(self, change_id: UUID, resolution: Resolution, *, actor: str, reason: str) -> ChangeResult:
        """Settle a change that needs review as a person says; both names go into its event.

        RETRY makes its refund once more, with a new key unless the provider shows the former one. DONE: it was paid,
        here or in another way. FAILED: it was not, and the change counts no more. Raises NotFound or Conflict.
        """
        return self._commit(
            lambda connection: settle_change(
                connection, change_id, resolution, self._settings, actor=actor, reason=reason
            )
        )

    def _commit(self, work: Callable[[Connection], ChangeResult]) -> ChangeResult:
        done = self._transactions.run(work)
        if done.messages:
            self._publisher.send(done.messages)
        return done
