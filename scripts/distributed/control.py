"""How `checkout cluster fault` and `down` reach the running `checkout cluster up`: a file, and a socket beside it."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ending
from scripts.local_servers.embedded import ROOT, read_state

#: Locked as long as the cluster runs: a file that a crash has left is not.
STATE: Final = ROOT / ".local" / "cluster.json"
#: `down` waits so long: every process of every host ends in less.
DOWN_SECONDS: Final = 90.0
POLL_SECONDS: Final = 0.2
#: The last line of an answer.
DONE: Final = "done"
FAILED: Final = "failed"

Answer = Callable[[str, Callable[[str], None]], None]


@contextlib.contextmanager
def hold_state(path: Path = STATE) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that writes the facts of the cluster; raise CommandError while another cluster runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("A cluster is up already: end it with `checkout cluster down`.") from None

        def write(facts: dict[str, Any]) -> None:
            file.truncate(0)
            _send(file, json.dumps(facts))

        write({"pid": os.getpid()})
        try:
            yield write
        finally:
            path.unlink(missing_ok=True)


def serve(address: Path, answer: Answer, ending: Ending) -> None:
    """Answer one request after another until a signal comes, with lines as they come; raises Ended then."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        server.listen()
        server.settimeout(0)
        while True:
            try:
                client, _ = server.accept()
            except BlockingIOError:
                ending.sleep(POLL_SECONDS)
                continue
            with client, client.makefile("rw") as stream:
                client.settimeout(None)
                _answer(stream, answer)


def ask(request: str, report: Callable[[str], None], path: Path = STATE) -> None:
    """Send a request to the running cluster and report its lines; raise CommandError when it fails."""
    facts = read_state(path)
    if "socket" not in facts:
        raise CommandError("No cluster is up, or it is not ready yet: run `checkout cluster up` beside this.")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(facts["socket"])
        with client.makefile("rw") as stream:
            _send(stream, request)
            for line in stream:
                kind, _, text = line.rstrip("\n").partition(" ")
                if kind == FAILED:
                    raise CommandError(text)
                if kind == DONE:
                    return
                report(text)
    raise CommandError("The cluster has ended before the fault was over.")


def end(path: Path = STATE) -> bool:
    """End the running cluster and return when nothing of it is left; return whether there was one."""
    facts = read_state(path)
    if "pid" not in facts:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(facts["pid"], signal.SIGTERM)
    ends_at = time.monotonic() + DOWN_SECONDS
    while read_state(path):
        if time.monotonic() > ends_at:
            raise CommandError(f"The cluster of process {facts['pid']} does not end.")
        time.sleep(POLL_SECONDS)
    return True


def _send(stream: Any, *parts: str) -> None:
    """Write one line, which is for a program."""
    stream.write(f"{' '.join(parts)}\n")
    stream.flush()


def _answer(stream: Any, answer: Answer) -> None:
    request = stream.readline().strip()
    # Whoever asked may be gone: the fault is healed all the same.
    with contextlib.suppress(BrokenPipeError):
        try:
            answer(request, lambda line: _send(stream, "line", line))
        except CommandError as error:
            _send(stream, FAILED, *str(error).splitlines())
        else:
            _send(stream, DONE)
