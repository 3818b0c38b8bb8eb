"""A process loads what it uses. Each start of one pays for the rest, in time and in memory; a shop has fifteen."""

import json
import os
import subprocess
import sys
from typing import Final, NamedTuple

import pytest

from tests.support.pages import ROOT

#: They are not connected to: nothing connects before its first use.
SETTINGS: Final = {
    "DATABASE_URL": "postgresql://nobody@localhost/none",
    "REDIS_URL": "redis://localhost/0",
    "CHECKOUT_GATEWAY": "sandbox",
    # As in a pipe: on a terminal the logs would be coloured.
    "CHECKOUT_LOG_FORMAT": "json",
}
#: What is printed at the end.
REPORT: Final = "\nprint('\\n' + json.dumps(sorted(sys.modules)))"

COMMAND: Final = """
sys.argv = ["checkout", *{arguments!r}]
from scripts.cli import app
try:
    app(prog_name="checkout")
except SystemExit:
    pass
"""

#: A signal waits already, so that the scheduler ends when it has started.
SCHEDULER: Final = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
from workers.scheduler import main
main()
"""

WEB: Final = """
from workers.start import loading
with loading():
    from workers.web.server import prepare
    prepare()
"""

#: No process and no view needs them.
TOOLS: Final = {"pytest", "hypothesis", "alembic", "mako", "sqlalchemy.orm", "models.tables", "honcho", "tests"}
#: Only with the gateway that needs it, or at the first use.
LATER: Final = {"stripe", "requests", "pycountry", "stdnum", "pipeline.webhooks.outbound.http_client", "urllib3"}
TERMINAL: Final = {"rich", "pygments", "typer", "scripts"}
HTTP: Final = {"fastapi", "starlette", "uvicorn", "jinja2", "limits", "prometheus_client", "workers.web"}


class Start(NamedTuple):
    """The start of one kind of process: its most modules, and those that it must not load."""

    code: str
    most: int
    without: set[str]


STARTS: Final = {
    "worker": Start(
        "import dramatiq.cli; from workers.main import build_broker; assert len(build_broker().actors) == 14",
        885,
        TOOLS | LATER | TERMINAL | HTTP | {"apscheduler", "pipeline.webhooks.outbound.payloads"},
    ),
    "scheduler": Start(SCHEDULER, 900, TOOLS | LATER | TERMINAL | HTTP),
    "web": Start(WEB, 1300, TOOLS | LATER | TERMINAL | {"apscheduler"}),
    "help": Start(
        COMMAND.format(arguments=["--help"]),
        340,
        TOOLS | LATER | HTTP | {"sqlalchemy", "pydantic", "redis", "dramatiq", "structlog", "pipeline", "models"},
    ),
    "keys": Start(COMMAND.format(arguments=["keys", "--help"]), 750, TOOLS | LATER | HTTP | {"redis", "dramatiq"}),
    "audit": Start(COMMAND.format(arguments=["audit", "--help"]), 1060, TOOLS | LATER | HTTP | {"apscheduler"}),
    "monitor": Start(COMMAND.format(arguments=["monitor", "--help"]), 975, TOOLS | LATER | HTTP | {"apscheduler"}),
}


def read_modules(code: str) -> set[str]:
    """Return the modules that a process has loaded when it has run this."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}{REPORT}"],
        cwd=ROOT,
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        check=True,
    )
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(modules)


@pytest.mark.parametrize("kind", STARTS)
def test_a_process_loads_no_more_than_it_uses(kind: str) -> None:
    start = STARTS[kind]
    modules = read_modules(start.code)
    assert modules & start.without == set()
    assert len(modules) <= start.most
    # A bound that is far above what it bounds finds nothing.
    assert len(modules) > start.most * 0.9


def test_the_loggers_leave_rich_to_code_that_needs_it() -> None:
    modules = read_modules("from workers.start import import_structlog; import_structlog(); import rich.console")
    assert {"structlog.dev", "rich.console"} <= modules
    assert "rich.traceback" not in modules


@pytest.mark.parametrize("before", ["rich.console", "structlog"])
def test_what_is_loaded_already_stays_as_it_is(before: str) -> None:
    code = f"import {before}\nfrom workers.start import import_structlog\nimport_structlog()\nimport structlog"
    assert "rich.traceback" in read_modules(code)
