"""What has become of a checkout, for the response to its caller."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from models.states import CheckoutState
from pipeline.errors import Code, NotFound
from pipeline.intake import STABLE, Status
from pipeline.intake.status import read_statuses
from pipeline.pricing import Quote, read_quotes


@dataclass(frozen=True, slots=True)
class HttpOutcome:
    """A checkout when it became stable, or when its caller's wait ended."""

    status: Status
    quote: tuple[Quote, str] | None

    @property
    def is_stable(self) -> bool:
        """Whether it is in a stable state."""
        return self.status.state in STABLE

    @property
    def was_declined(self) -> bool:
        """Whether it awaits another card."""
        return self.status.state is CheckoutState.AWAITING_PAYMENT and self.status.failure is not None


def read_outcomes(connection: Connection, wanted: Sequence[tuple[UUID, str]]) -> list[HttpOutcome | NotFound]:
    """Return the outcome of each (checkout, owner), NotFound for one that is not of this owner."""
    ids = list(dict.fromkeys(checkout_id for checkout_id, _ in wanted))
    statuses, quotes = read_statuses(connection, ids), read_quotes(connection, ids)
    found: list[HttpOutcome | NotFound] = []
    for checkout_id, owner in wanted:
        status = statuses.get(checkout_id)
        if status is None or status.owner != owner:
            found.append(NotFound(Code.CHECKOUT_UNKNOWN, checkout_id=str(checkout_id)))
        else:
            found.append(HttpOutcome(status, quotes.get(checkout_id)))
    return found
