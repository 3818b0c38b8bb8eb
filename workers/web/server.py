"""The server of the HTTP process. At its end, long polls get the current status, within the grace period."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

import structlog
import uvicorn

from pipeline.settings import Settings
from workers.bootstrap import announce_gateway, reading_settings
from workers.web.app import build_app
from workers.web.context import WebContext
from workers.web.protection.connection_bounds import BoundedConfig

log = structlog.get_logger()

#: Below the fifteen seconds after which a supervisor ends a process by force.
GRACE_SECONDS: Final = 10


class Server(uvicorn.Server):
    """Ends all long polls when it is stopped."""

    def __init__(self, config: uvicorn.Config, context: WebContext) -> None:
        """Take the context of the application."""
        super().__init__(config)
        self._context = context

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; end at once at the second Ctrl-C. Unlike with uvicorn's own, the process ends with 0."""
        del frame
        self._context.long_polls.close()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def build_server(settings: Settings) -> Server:
    """Return the server of these settings, not started."""
    app = build_app(settings)
    config = BoundedConfig(
        app,
        settings,
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=settings.web_trusted_proxies,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return Server(config, app.state.context)


def prepare() -> Callable[[], None]:
    """Return what serves until the process is stopped. Wrong settings end it with a sentence."""
    with reading_settings() as settings:
        server = build_server(settings)

    def serve() -> None:
        announce_gateway(settings, "web")
        log.info("web.started", host=settings.web_host, port=settings.web_port)
        server.run()

    return serve
