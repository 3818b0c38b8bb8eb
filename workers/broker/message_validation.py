"""Decode and check each waiting message before it may join a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from dramatiq import Actor, Message, Middleware
from dramatiq.broker import Broker
from dramatiq.errors import DecodeError
from dramatiq.middleware import MiddlewareError

from models.limits import MAX_MESSAGE_BYTES
from pipeline.errors import Invalid
from pipeline.field_types import check_values
from pipeline.security import card_numbers
from pipeline.security.redaction import redact

#: The argument of an actor's messages: the id of a checkout, or a whole request.
CHECKOUT_ID: Final = "checkout_id"
REQUEST: Final = "request"


@dataclass(frozen=True, slots=True)
class UnfitMessage:
    """A rejected message: its queue, its body as text that any database can store, and the reason."""

    queue: str
    body: str
    reason: str

    @property
    def has_secret(self) -> bool:
        """Whether its body has a card number or a secret: such a message is not dead-lettered."""
        return redact(self.body) != self.body


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message that may join a batch of its actor."""

    actor: str
    argument: Any


#: Read the data of a message of the named queue.
ReadMember = Callable[[bytes, str], QueuedMessage | UnfitMessage]

#: Longest text from outside in a reason; the whole of it is in the body.
QUOTE_CHARACTERS: Final = 200


class UnfitMemberError(Exception):
    """Raised when a message cannot join a batch; its text is the reason."""


class UnknownMemberError(MiddlewareError):
    """Raised when an actor is declared with a `member` that does not exist."""


class MemberOption(Middleware):
    """An option of actors, for the argument of their messages: `member="checkout_id"` (by default) or `"request"`."""

    @property
    def actor_options(self) -> set[str]:
        """The option's name."""
        return {"member"}

    def before_declare_actor(self, _broker: Broker, actor: Actor[..., Any]) -> None:
        """Refuse a value that does not exist."""
        member = actor.options.get("member", CHECKOUT_ID)
        if member not in (CHECKOUT_ID, REQUEST):
            raise UnknownMemberError(f"actor {actor.actor_name} says member={member!r}: say {CHECKOUT_ID} or {REQUEST}")


def read_member(data: bytes, queue: str, actors: Mapping[str, Actor[..., Any]]) -> QueuedMessage | UnfitMessage:
    """Check one message of `queue`; return it, or why it is rejected.

    Text from outside is quoted in ASCII, because it may have characters that no database stores, and without card
    numbers.
    """
    try:
        _bound(data)
        return _check(Message.decode(data), queue, actors)
    except DecodeError as error:
        reason = f"it is not a message: {_quote(str(error.error))}"
    except UnfitMemberError as error:
        reason = str(error)
    # PostgreSQL's text has no NUL; a rejected message that could not be stored would be requeued for ever.
    return UnfitMessage(queue, data[:MAX_MESSAGE_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd"), reason)


def _bound(data: bytes) -> None:
    """Refuse what is too large before it is parsed."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise UnfitMemberError(f"it has {len(data)} bytes, and at most {MAX_MESSAGE_BYTES} are read")
    try:
        check_values(data)
    except Invalid as error:
        raise UnfitMemberError(error.detail["reason"]) from None


def _quote(text: str) -> str:
    return f"{redact(card_numbers.redact(text, QUOTE_CHARACTERS))!a}"


def _check(message: Message[Any], queue: str, actors: Mapping[str, Actor[..., Any]]) -> QueuedMessage:
    name: Any = message.actor_name
    if not isinstance(name, str):
        raise UnfitMemberError("its actor_name is not a string")
    actor = actors.get(name)
    if actor is None or actor.queue_name != queue:
        raise UnfitMemberError(f"this queue has no actor {_quote(name)}")
    if message.kwargs:
        raise UnfitMemberError("it has keyword arguments; send one positional argument")
    if len(message.args) != 1:
        raise UnfitMemberError(f"it has {len(message.args)} arguments; send one")
    argument = message.args[0]
    if actor.options.get("member", CHECKOUT_ID) == REQUEST:
        if not isinstance(argument, dict):
            raise UnfitMemberError("its argument is not a JSON object")
        return QueuedMessage(name, argument)
    checkout_id = _read_uuid(argument)
    if checkout_id is None:
        raise UnfitMemberError("its argument is not the id of a checkout")
    return QueuedMessage(name, checkout_id)


def _read_uuid(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return str(UUID(value))
    except ValueError:
        return None
