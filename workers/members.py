"""One waiting message, decoded and checked alone, before it may join a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from dramatiq import Actor, Message, Middleware
from dramatiq.broker import Broker
from dramatiq.errors import DecodeError
from dramatiq.middleware import MiddlewareError

#: What an actor's messages carry: the id of a checkout, or a whole request.
CHECKOUT_ID: Final = "checkout_id"
REQUEST: Final = "request"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that nobody can work on: its queue, its body as text that any database can store, and why."""

    queue: str
    body: str
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """A message that may join a batch of its actor."""

    actor: str
    argument: Any


#: Reads the data of a message of the named queue.
ReadMember = Callable[[bytes, str], Member | Refusal]

#: Longest piece of foreign text in a reason; the whole of it is in the body.
QUOTE_CHARACTERS: Final = 200


class UnknownMemberError(MiddlewareError):
    """Raised when an actor is declared with a `member` that does not exist."""


class MemberOption(Middleware):
    """Lets an actor say what its messages carry: `member="checkout_id"` (the default) or `member="request"`."""

    @property
    def actor_options(self) -> set[str]:
        """The option's name."""
        return {"member"}

    def before_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        """Refuse a value that does not exist."""
        member = actor.options.get("member", CHECKOUT_ID)
        if member not in (CHECKOUT_ID, REQUEST):
            raise UnknownMemberError(f"actor {actor.actor_name} says member={member!r}: say {CHECKOUT_ID} or {REQUEST}")


def read_member(data: bytes, queue: str, actors: Mapping[str, Actor[..., Any]]) -> Member | Refusal:
    """Check one message of `queue`; returns it, or why it is refused. Never raises.

    Foreign text is quoted in ASCII: it may hold what no database stores.
    """
    try:
        message = Message.decode(data)
    except DecodeError as error:
        return _refuse(queue, data, f"it is not a message: {str(error.error)[:QUOTE_CHARACTERS]!a}")
    if not isinstance(message.actor_name, str):
        return _refuse(queue, data, "its actor_name is not a string")
    actor = actors.get(message.actor_name)
    if actor is None or actor.queue_name != queue:
        return _refuse(queue, data, f"this queue has no actor {message.actor_name[:QUOTE_CHARACTERS]!a}")
    if message.kwargs:
        return _refuse(queue, data, "it has keyword arguments; send one positional argument")
    if len(message.args) != 1:
        return _refuse(queue, data, f"it has {len(message.args)} arguments; send one")
    argument = message.args[0]
    if actor.options.get("member", CHECKOUT_ID) == REQUEST:
        if not isinstance(argument, dict):
            return _refuse(queue, data, "its argument is not a JSON object")
        return Member(actor.actor_name, argument)
    checkout_id = _read_uuid(argument)
    if checkout_id is None:
        return _refuse(queue, data, "its argument is not the id of a checkout")
    return Member(actor.actor_name, checkout_id)


def _read_uuid(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return str(UUID(value))
    except ValueError:
        return None


def _refuse(queue: str, data: bytes, reason: str) -> Refusal:
    # PostgreSQL's text holds no NUL; a refusal that could not be stored would come back for ever.
    return Refusal(queue, data.decode("utf-8", "replace").replace("\x00", "\ufffd"), reason)
