"""Hosts as network namespaces on one bridge, which has a namespace of its own.

A namespace has no name and no file: it lives as long as the process that holds it, so that it ends with this process
however that ends (`scripts/environments/reaper.py`).
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from scripts.distributed.layout import PREFIX_LENGTH
from scripts.distributed.requirements import need_program
from scripts.environments.command_errors import CommandError
from scripts.environments.reaper import mark

CLONE_NEWNET: Final = 0x40000000
#: A new process is in its namespace within milliseconds, and a killed one gone.
START_SECONDS: Final = 10.0
END_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.01
#: The bridge that all hosts are on, and the one of hosts that are cut off together.
BRIDGE: Final = "main"
ISLAND: Final = "island"


def read_namespace(pid: int | str) -> str:
    """Return the network namespace of a process, empty when it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


class Namespace:
    """One network namespace, with its loopback up."""

    def __init__(self) -> None:
        """Start the process that holds it."""
        # The mark comes before: its reaper is then outside, where nothing is cut off.
        env = {**os.environ, **mark()}
        self._holder = subprocess.Popen(
            [need_program("unshare"), "--net", need_program("sleep"), "infinity"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        self.pid = self._holder.pid
        outside, ends_at = read_namespace("self"), time.monotonic() + START_SECONDS
        while read_namespace(self.pid) in {"", outside}:
            if self._holder.poll() is not None or time.monotonic() > ends_at:
                self.close()
                raise CommandError("No network namespace can be made here: the container needs CAP_SYS_ADMIN.")
            time.sleep(POLL_SECONDS)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str) -> None:
        """Run a command of the network inside; raise CommandError with its last line when it fails."""
        done = subprocess.run(
            [*self.enter(), need_program(command[0]), *command[1:]], capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [""])[-1]
            raise CommandError(f"`{' '.join(command)}` has failed: {last}.")

    def spawn(self, command: Sequence[str], *, env: Mapping[str, str], output: IO[bytes], **others: Any) -> "Process":
        """Start a process inside, in a group of its own."""
        return subprocess.Popen(
            [*self.enter(), *command],
            env={**env, **mark()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            **others,
        )

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside, with this thread alone: sockets made here stay in it. Threads started here are inside too."""
        with open("/proc/thread-self/ns/net") as before, open(f"/proc/{self.pid}/ns/net") as there:
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(before.fileno())

    def list_pids(self) -> list[int]:
        """Return the processes inside, without the one that holds it."""
        own = read_namespace(self.pid)
        found = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
        return [pid for pid in found if read_namespace(pid) == own and pid not in {self.pid, os.getpid()}]

    def kill(self) -> None:
        """End every process inside at once, without any warning."""
        ends_at = time.monotonic() + END_SECONDS
        while pids := self.list_pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > ends_at:
                raise CommandError(f"Processes do not end: {', '.join(map(str, pids))}.")
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """End everything inside, and the namespace. Idempotent."""
        if self._holder.poll() is None:
            self.kill()
            self._holder.kill()
            self._holder.wait()

    def enter(self) -> list[str]:
        """Return the command before one that runs inside."""
        return [need_program("nsenter"), f"--net=/proc/{self.pid}/ns/net", "--"]


Process = subprocess.Popen[bytes]


class Network:
    """A bridge with one port for each host; a context manager, at whose end no namespace is left."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        """Have these hosts."""
        self._addresses = addresses
        self._switch: Namespace | None = None
        self.hosts: dict[str, Namespace] = {}

    def __enter__(self) -> "Network":
        """Make the bridge and the hosts."""
        try:
            self._switch = Namespace()
            for bridge in (BRIDGE, ISLAND):
                self.switch.run("ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0")
                self.switch.run("ip", "link", "set", bridge, "up")
            for name, address in self._addresses.items():
                host = self.hosts[name] = Namespace()
                peer = ("peer", "name", "eth0", "netns", str(host.pid))
                self.switch.run("ip", "link", "add", name, "type", "veth", *peer)
                host.run("ip", "address", "add", f"{address}/{PREFIX_LENGTH}", "dev", "eth0")
                host.run("ip", "link", "set", "eth0", "up")
                self.switch.run("ip", "link", "set", name, "master", BRIDGE, "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """End every host and the bridge."""
        self.close()

    @property
    def switch(self) -> Namespace:
        """The namespace of the bridge."""
        if self._switch is None:
            raise CommandError("The network is not up.")
        return self._switch

    def cut(self, name: str) -> None:
        """Cut a host off: its packets vanish, no connection is reset."""
        self.switch.run("ip", "link", "set", name, "down")

    def isolate(self, names: Sequence[str]) -> None:
        """Cut these hosts off together: they still see each other."""
        for name in names:
            self.switch.run("ip", "link", "set", name, "master", ISLAND)

    def join(self, name: str) -> None:
        """End what `cut` or `isolate` did."""
        self.switch.run("ip", "link", "set", name, "master", BRIDGE, "up")

    def slow(self, name: str, kilobits: int) -> None:
        """Let only so many kilobits a second through to this host, and as many out of it."""
        limit = ("tbf", "rate", f"{kilobits}kbit", "burst", "16kb", "latency", "500ms")
        self.switch.run("tc", "qdisc", "replace", "dev", name, "root", *limit)
        self.hosts[name].run("tc", "qdisc", "replace", "dev", "eth0", "root", *limit)

    def hasten(self, name: str) -> None:
        """End what `slow` did."""
        self.switch.run("tc", "qdisc", "del", "dev", name, "root")
        self.hosts[name].run("tc", "qdisc", "del", "dev", "eth0", "root")

    def close(self) -> None:
        """End everything inside. Idempotent."""
        for namespace in (*self.hosts.values(), self._switch):
            if namespace is not None:
                namespace.close()


def _set_namespace(descriptor: int) -> None:
    # `os.setns` is in Python 3.12.
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, CLONE_NEWNET):
        raise CommandError(f"The network namespace cannot be entered: {os.strerror(ctypes.get_errno())}.")
