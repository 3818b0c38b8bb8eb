"""The engine for a command that acts on checkouts, and the command's exit codes."""

import contextlib
import getpass
import time
from collections.abc import Iterator
from typing import Annotated, Final
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError

from models.states import CheckoutState
from pipeline.errors import CheckoutError
from pipeline.field_types import kinds as fields
from pipeline.intake import STABLE
from scripts.environments.command_errors import CommandError, explain_errors
from scripts.environments.command_transaction import UNREACHABLE, refuse
from scripts.local_servers.embedded import open_settings
from workers.bootstrap import Components, build_components
from workers.logs import configure_logs

#: The interval between two reads of a checkout's state while a command waits.
POLL_SECONDS: Final = 0.1


def _check_reason(reason: str) -> str:
    try:
        return TypeAdapter(fields.Reason).validate_python(reason)
    except ValidationError:
        raise typer.BadParameter(f"say why, in 1 to {fields.MAX_REASON} characters") from None


def _check_actor(actor: str) -> str:
    try:
        return TypeAdapter(fields.Actor).validate_python(actor)
    except ValidationError:
        raise typer.BadParameter(f"name who does it, in 1 to {fields.MAX_ACTOR} characters") from None


CheckoutId = Annotated[UUID, typer.Argument(help="The checkout's id.")]
Reason = Annotated[str, typer.Option(help="The reason, written into the checkout's events.", callback=_check_reason)]
Actor = Annotated[
    str,
    typer.Option(
        help="Name of the actor for the events.",
        default_factory=getpass.getuser,
        show_default="you",
        callback=_check_actor,
    ),
]
Wait = Annotated[float, typer.Option(min=0, max=600, help="Wait up to so many seconds for a stable state.")]


@contextlib.contextmanager
def open_engine(name: str) -> Iterator[Components]:
    """Yield the engine on the configured servers; an error ends the command."""
    try:
        with explain_errors():
            settings = open_settings()
            # A command prints its own result; only errors of the engine are logged, on standard error.
            configure_logs(settings.model_copy(update={"log_level": "error"}))
            components = build_components(settings, name)
            try:
                yield components
            finally:
                components.close()
    except CommandError as error:
        refuse(str(error), code=UNREACHABLE)
    except CheckoutError as error:
        refuse(str(error))


def wait_until_stable(components: Components, checkout_id: UUID, seconds: float) -> CheckoutState:
    """Return the state of a checkout once it is stable, or after so many seconds."""
    ends_at = time.monotonic() + seconds
    while True:
        state = components.service.status(checkout_id=checkout_id).state
        if state in STABLE or time.monotonic() >= ends_at:
            return state
        time.sleep(POLL_SECONDS)
