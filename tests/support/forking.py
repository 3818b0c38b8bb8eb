"""Test workers that are forked when all is collected: `--workers N`. A pytest plugin, loaded by tests/conftest.py.

Workers that start by themselves, as those of pytest-xdist, each import and collect all tests again: with 8,000 tests
15 to 20 s of a core each. Forked ones share what the first process has collected.

The tests of a file run on one worker, in their order. A worker asks for the next file before it begins the last test of
the one it has: fixtures end when the next test is known not to use them. Every other worker takes the files from the
end: what is at both ends of the list (tests/conftest.py) runs at the same time, and the short ones are left for last.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Iterator
from itertools import groupby
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Final, NoReturn

import pytest
from _pytest.runner import runtestprotocol

from scripts.environments import reaper

#: For the fixtures of a worker to end after Ctrl-C: above the fifteen seconds that a supervisor allows its workers.
END_SECONDS: Final = 30
#: `man 2 prctl`
PR_SET_PDEATHSIG: Final = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--workers", type=int, default=0, metavar="N", help="run the tests in N forked processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in workers, if there is an option that says so and something to run."""
    config = session.config
    found_all = not session.testsfailed or config.option.continue_on_collection_errors
    if config.option.workers < 1 or config.option.collectonly or not found_all:
        return None
    config.pluginmanager.getplugin("terminalreporter").showfspath = False  # tests of several files end in turn
    Workers(session, config.option.workers).run()
    return True


def find_folders(session: pytest.Session) -> pytest.TempPathFactory:
    """Return what makes the temporary folders of tests."""
    folders: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    return folders


class Workers:
    """The workers, seen from the process that has collected the tests and prints what became of them."""

    def __init__(self, session: pytest.Session, most: int) -> None:
        """Start nothing yet."""
        self._session = session
        numbers = range(len(session.items))
        self._files = deque(list(group) for _, group in groupby(numbers, key=lambda each: session.items[each].path))
        self._most = most
        self._pids: dict[Connection, int] = {}
        #: The tests that were given to a worker, and have no result yet.
        self._given: dict[Connection, list[int]] = {}
        self._started = 0

    def run(self) -> None:
        """Run all tests; raise what ends a session early."""
        find_folders(self._session).getbasetemp()  # theirs are in it
        try:
            for _ in range(min(self._most, len(self._files))):
                self._start()
            while self._pids:
                for connection in wait(list(self._pids)):
                    assert isinstance(connection, Connection)
                    self._answer(connection)
        finally:
            self._end()
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def _start(self) -> None:
        ours, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for other in self._pids:
                other.close()
            Worker(self._session, theirs, self._started).run()
        theirs.close()
        self._started += 1
        self._pids[ours] = pid
        self._given[ours] = []

    def _answer(self, connection: Connection) -> None:
        try:
            kind, *facts = connection.recv()
        except (EOFError, ConnectionError):
            self._collect(connection)
            return
        match kind:
            case "next":
                is_over = self._session.shouldfail or self._session.shouldstop or not self._files
                take = self._files.pop if facts[0] % 2 else self._files.popleft
                numbers = [] if is_over else take()
                self._given[connection] += numbers
                connection.send(numbers)
            case "ended":
                self._given[connection].remove(facts[0])
                self._report(*facts)
            case "warned":
                text, name, line, nodeid = facts
                message = warnings.WarningMessage(UserWarning(text), UserWarning, name, line)
                self._session.config.hook.pytest_warning_recorded.call_historic(
                    kwargs={"warning_message": message, "when": "runtest", "nodeid": nodeid, "location": None}
                )

    def _report(self, number: int, reports: list[dict[str, Any]]) -> None:
        hook, item = self._session.config.hook, self._session.items[number]
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for data in reports:
            report = hook.pytest_report_from_serializable(config=self._session.config, data=data)
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _collect(self, connection: Connection) -> None:
        """Wait for a worker that has closed its connection; if it has died, its test failed and others go on."""
        connection.close()
        code = os.waitstatus_to_exitcode(os.waitpid(self._pids.pop(connection), 0)[1])
        given = self._given.pop(connection)
        if given:
            crashed, *rest = given
            item = self._session.items[crashed]
            text = f"The worker of this test has ended with {code}."
            report = pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")
            data = self._session.config.hook.pytest_report_to_serializable(config=self._session.config, report=report)
            self._report(crashed, [data])
            if rest:
                self._files.appendleft(rest)
        elif code:
            raise RuntimeError(f"A test worker without a test has ended with {code}.")
        if self._files and not (self._session.shouldfail or self._session.shouldstop):
            self._start()

    def _end(self) -> None:
        """End the workers that still run: they end their fixtures, or are killed after a time."""
        deadline = time.monotonic() + END_SECONDS
        for pid in self._pids.values():
            os.kill(pid, signal.SIGINT)
        for connection, pid in self._pids.items():
            with contextlib.suppress(EOFError, ConnectionError):
                while connection.poll(max(0, deadline - time.monotonic())):
                    connection.recv()
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._pids.clear()


class Worker:
    """One worker, in its own process."""

    def __init__(self, session: pytest.Session, connection: Connection, number: int) -> None:
        """Take what was forked."""
        self._session = session
        self._connection = connection
        self._number = number
        self._running = -1

    def run(self) -> NoReturn:
        """Run what the first process gives out; then end the process without the ends that belong to the first."""
        code = 1
        try:
            self._separate()
            for item, following in self._choose():
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            code = 0
        except KeyboardInterrupt:
            # Ctrl-C of a terminal comes twice: to every process, and from the first one.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with contextlib.suppress(BaseException):
                self._session._setupstate.teardown_exact(None)
        except (EOFError, ConnectionError):
            pass  # the first process has ended
        except BaseException:  # noqa: BLE001 (it must not go on as a second first process)
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                self._session.config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
            os._exit(code)

    def _separate(self) -> None:
        """Make its own what two processes cannot share."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.environ.update(reaper.renew())
        config = self._session.config
        capture = config.pluginmanager.getplugin("capturemanager")
        capture.stop_global_capturing()
        capture.start_global_capturing()
        folders = find_folders(self._session)
        folders._basetemp = folders.mktemp(f"worker-{self._number}", numbered=False)
        config.pluginmanager.register(self)

    def _choose(self) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
        items, numbers = self._session.items, self._take()
        while numbers:
            for place, number in enumerate(numbers, 1):
                self._running = number
                if place < len(numbers):
                    yield items[number], items[numbers[place]]
            following = self._take()
            yield items[numbers[-1]], items[following[0]] if following else None
            numbers = following

    def _take(self) -> list[int]:
        self._connection.send(("next", self._number))
        numbers: list[int] = self._connection.recv()
        return numbers

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run a test, and send its reports instead of printing them."""
        hook, config = item.ihook, item.config
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        data = [hook.pytest_report_to_serializable(config=config, report=report) for report in reports]
        self._connection.send(("ended", self._running, data))
        return True

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Send a warning of a test."""
        text = f"{warning_message.category.__name__}: {warning_message.message}"
        nodeid = self._session.items[self._running].nodeid
        self._connection.send(("warned", text, warning_message.filename, warning_message.lineno, nodeid))
