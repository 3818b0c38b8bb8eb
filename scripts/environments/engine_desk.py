"""The engine for a command that acts on checkouts, with the command's ways to end."""

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
from scripts.environments.desk import UNREACHABLE, refuse
from scripts.environments.obstacles import Obstacle, explain_obstacles
from scripts.local_servers.embedded import open_settings
from workers.bootstrap import CheckoutEngine, build_engine
from workers.logs import configure_logs

#: How often a checkout is looked at that somebody waits for.
POLL_SECONDS: Final = 0.1


def _check_reason(reason: str) -> str:
    try:
        return TypeAdapter(fields.Reason).validate_python(reason)
    except ValidationError:
        raise typer.BadParameter(f"say why, in 1 to {fields.MAX_REASON} characters") from None


CheckoutId = Annotated[UUID, typer.Argument(help="The checkout's id.")]
Reason = Annotated[str, typer.Option(help="Why: it is written into the checkout's events.", callback=_check_reason)]
Actor = Annotated[
    str, typer.Option(help="Name of the actor for the events.", default_factory=getpass.getuser, show_default="you")
]
Wait = Annotated[float, typer.Option(min=0, max=600, help="Wait for so many seconds until it has come to rest.")]


@contextlib.contextmanager
def open_engine(name: str) -> Iterator[CheckoutEngine]:
    """Give the engine on the servers that are known here; ends the command with a sentence when it cannot be."""
    try:
        with explain_obstacles():
            settings = open_settings()
            # What a command has to say it says itself; what went wrong all the same is on standard error.
            configure_logs(settings.model_copy(update={"log_level": "error"}))
            engine = build_engine(settings, name)
            try:
                yield engine
            finally:
                engine.close()
    except Obstacle as obstacle:
        refuse(str(obstacle), code=UNREACHABLE)
    except CheckoutError as error:
        refuse(str(error))


def wait_for_rest(engine: CheckoutEngine, checkout_id: UUID, seconds: float) -> CheckoutState:
    """Return the state of a checkout once it moves no further by itself, or after so many seconds."""
    ends_at = time.monotonic() + seconds
    while True:
        state = engine.service.status(checkout_id=checkout_id).state
        if state in STABLE or time.monotonic() >= ends_at:
            return state
        time.sleep(POLL_SECONDS)
