"""Matches a webhook with a checkout's payment. Pure."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Match:
    """The webhook is about the payment of this checkout."""

    checkout_id: UUID


@dataclass(frozen=True, slots=True)
class NotYet:
    """The webhook matches no payment so far."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unrelated:
    """The webhook is about an orphaned payment of its checkout. Reconciliation settles it."""

    reason: str


Fit = Match | NotYet | Unrelated


def find_fit(
    *, reference: str | None, referring_id: UUID | None, named_id: UUID | None, named_reference: str | None
) -> Fit:
    """Return which checkout's payment a webhook about the object `reference` is about.

    `referring_id` is the checkout whose payment refers to the object. `named_id` is the checkout that the object's
    metadata names, and `named_reference` the object of its payment: `named_id` counts only while there is none, because
    the event then came before the answer to the engine's own call, which will show the right object.
    """
    if referring_id is not None:
        return Match(referring_id)
    if named_id is None:
        return NotYet("it names no known payment")
    if named_reference is None:
        return NotYet(f"checkout {named_id} has no object at the provider yet")
    if reference is None:
        return Match(named_id)
    return Unrelated(f"checkout {named_id} is paid with {named_reference}, this is about {reference}")
