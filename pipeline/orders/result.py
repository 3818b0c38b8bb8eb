"""The result of a request about an order."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from models.states import ChangeKind, ChangeState
from pipeline.messaging import OutgoingMessage


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The change that a request made, or found: `created` is False for a repeat. `state` is that of its transaction."""

    change_id: UUID
    order_id: UUID
    kind: ChangeKind
    state: ChangeState
    created: bool
    messages: Sequence[OutgoingMessage] = ()
