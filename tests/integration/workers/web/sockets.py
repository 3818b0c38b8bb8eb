"""Bytes as they are: what no client library would send."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

#: Bound of every wait.
SECONDS: Final = 20.0


@contextmanager
def connect(url: str) -> Iterator[socket.socket]:
    """Open a connection to a server."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=SECONDS) as connection:
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """Return everything that comes until the server ends the connection; fail when it does not."""
    pieces = []
    with suppress(ConnectionResetError, BrokenPipeError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def read_status(answer: bytes) -> int:
    """Return the status of a response; 0 when there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def ask(url: str, sent: bytes) -> bytes:
    """Send bytes, and return the responses until the end of the connection."""
    with connect(url) as connection:
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent)
        return read_to_end(connection)
