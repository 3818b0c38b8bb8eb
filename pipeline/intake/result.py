"""The result of a command."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pipeline.errors import Refused
from pipeline.messaging import OutgoingMessage


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command. `changed` is False when the checkout already was as requested.

    `rejection` is raised to the caller once the transaction has committed.
    """

    checkout_id: UUID
    changed: bool
    messages: Sequence[OutgoingMessage] = ()
    rejection: Refused | None = None
