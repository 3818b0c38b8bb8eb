"""Shows what is going on: `checkout monitor [--hours 24] [--json] [--watch]`. Reads only.

Exit codes: 0 shown (also after Ctrl-C while watching), 2 the database cannot be read, 143 SIGTERM ended the watch.
Without Redis everything but the queues is shown. The figures are those of CHECKOUT_READ_URL, if it is set.
"""

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, NoReturn

import typer
from redis.client import Redis
from rich.console import Console, RenderableType
from rich.live import Live
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from pipeline.database import connect_engine, connect_reader
from pipeline.database.readers import Reader
from pipeline.gateways import describe_choice
from pipeline.operations import read_stats
from pipeline.operations.replication import Replication, read_replication
from pipeline.settings import Settings
from scripts.environments.command_errors import CommandError, explain_errors, open_redis
from scripts.environments.ending import Ended, Ending
from scripts.local_servers.embedded import open_settings
from scripts.terminal.monitor_view import draw, list_lines
from scripts.terminal.output import Screen, plain, say, say_json
from workers.broker.redis_client import find_master
from workers.overview import Readout, read_queues

REFRESH_SECONDS: Final = 1.0
#: The exit code that Ctrl-C has elsewhere; it is the regular end of watching.
CTRL_C: Final = 128 + signal.SIGINT

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    hours: Annotated[float, typer.Option(min=0.01, max=87_600, help="How far back ended checkouts count.")] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    watch: Annotated[bool, typer.Option("--watch/--once", help="Refresh each second until Ctrl-C.")] = False,
) -> None:
    """Show checkouts by state, the queues, failures by code, success rate, durations, and what needs attention."""
    console = Screen()
    try:
        with contextlib.suppress(KeyboardInterrupt), open_sources() as sources:
            if not watch:
                print_once(console, read(sources, hours), as_json=as_json)
                return
            # An exception from a signal handler can be lost: Python drops it where it comes in a destructor.
            with Ending() as ending:
                if console.is_terminal and not as_json:
                    watch_live(console, sources, hours, ending)
                while True:
                    print_once(console, read(sources, hours), as_json=as_json)
                    ending.sleep(REFRESH_SECONDS)
    except Ended as ended:
        raise typer.Exit(0 if ended.code == CTRL_C else ended.code) from None
    except CommandError as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read: the figures on `reader`, the replication on `primary`, the queues in Redis."""

    settings: Settings
    reader: Reader
    primary: Engine
    client: Redis


@contextlib.contextmanager
def open_sources() -> Iterator[Sources]:
    """Yield the databases, Redis and the settings; each connects at its first read."""
    with explain_errors():
        settings = open_settings()
        primary = connect_engine(settings, application_name="monitor", pool_size=1)
        reader = connect_reader(settings, application_name="monitor", pool_size=1, primary=primary)
    client = open_redis(settings)
    try:
        yield Sources(settings, reader, primary, client)
    finally:
        reader.close()
        primary.dispose()
        client.close()


def read(sources: Sources, hours: float) -> Readout:
    """Read everything once; without Redis, `queues` is None."""
    with explain_errors():
        stats, standby = sources.reader.read(lambda found: read_stats(found, sources.settings, hours=hours))
        replication = _read_primary(sources)
    queues = read_queues(sources.client)
    gateway, master = describe_choice(sources.settings), find_master(sources.client)
    return Readout(stats, queues, gateway, standby, replication, master)


def _read_primary(sources: Sources) -> Replication | None:
    """Return the replication; None when there is a standby to read, and the primary does not answer."""
    try:
        with sources.primary.connect() as connection:
            return read_replication(connection)
    except DBAPIError:
        if not sources.reader.is_apart:
            raise
        return None


def print_once(console: Console, readout: Readout, *, as_json: bool) -> None:
    """Print tables on a terminal, one fact on each line into a pipe, or one JSON object."""
    if as_json:
        say_json(readout.describe())
    elif console.is_terminal:
        console.print(draw(readout))
    else:
        for line in list_lines(readout):
            say(line)


def watch_live(console: Console, sources: Sources, hours: float, ending: Ending) -> NoReturn:
    """Redraw the screen each second until a signal raises Ended.

    A database that cannot be read is reported, and read again. The last view stays.
    """
    view: RenderableType = draw(read(sources, hours))
    try:
        with Live(view, console=console, screen=True, auto_refresh=False) as live:
            while True:
                ending.sleep(REFRESH_SECONDS)
                try:
                    view = draw(read(sources, hours))
                except CommandError as error:
                    view = plain(str(error), "bold red")
                live.update(view, refresh=True)
    finally:
        console.print(view)


if __name__ == "__main__":
    app()
