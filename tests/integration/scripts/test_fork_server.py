"""Processes that are forked from one which has imported their modules behave like executed ones."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.environments.fork_loop import name_module
from scripts.environments.fork_server import IS_AVAILABLE, ForkServer, ForkServerError
from scripts.environments.reaper import mark
from scripts.environments.supervisor import Supervisor
from tests.integration.scripts.test_supervisor import Printed, is_gone, wait_for

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="processes are forked on Linux")

Module = Callable[[str], tuple[str, ...]]


@pytest.fixture
def module(tmp_path: Path) -> Module:
    """Write a module, and return the command that runs it."""

    def write(source: str) -> tuple[str, ...]:
        (tmp_path / "forked_module.py").write_text(source)
        return ("python", "-m", "forked_module", "one", "two words")

    return write


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        **mark(),
        "PYTHONPATH": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture
def server(env: dict[str, str]) -> Iterator[ForkServer]:
    server = ForkServer({**env, "OF_THE_TEST": "seen"}, ["json"])
    yield server
    server.close()


def read_all(server: ForkServer, command: tuple[str, ...]) -> tuple[int, list[str]]:
    process = server.spawn(command)
    assert process.stdout is not None
    with process.stdout:
        lines = process.stdout.read().splitlines()
    return process.wait(60), lines


def test_a_forked_process_is_a_main_module_with_its_arguments_and_a_group_of_its_own(
    server: ForkServer, module: Module
) -> None:
    # Given
    command = module(
        "import os, sys\n"
        "print(__name__, sys.argv[1:], os.environ['OF_THE_TEST'], os.getpid() == os.getpgid(0))\n"
        "print(os.getcwd(), sys.stdin.read())\n"
        "print(open('/proc/self/comm').read(), end='')\n"
        "print('on standard error', file=sys.stderr)\n"
    )
    # When
    code, lines = read_all(server, command)
    # Then
    assert code == 0
    root = Path(__file__).resolve().parents[3]
    assert lines == ["__main__ ['one', 'two words'] seen True", f"{root} ", "forked_module", "on standard error"]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("import os; os._exit(5)", 5),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -2),
    ],
)
def test_its_exit_code_is_that_of_an_executed_one(server: ForkServer, module: Module, source: str, code: int) -> None:
    command = module(source)
    assert read_all(server, command)[0] == code
    executed = subprocess.run(
        [sys.executable, "-c", source], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    assert executed.returncode == code


def test_it_ends_as_an_interpreter_does(server: ForkServer, module: Module) -> None:
    command = module(
        "import atexit, threading, time\n"
        "atexit.register(print, 'at the exit')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('the thread'))).start()\n"
        "print('the end', flush=False)\n"
    )
    assert read_all(server, command) == (0, ["the end", "the thread", "at the exit"])


def test_two_do_not_draw_the_same_random_numbers(env: dict[str, str], module: Module) -> None:
    # Given what they draw from is imported, and was used, before the fork
    command = module(
        "import random, forked_before\nfrom uuid_utils.compat import uuid4, uuid7\n"
        "print(random.random()); print(uuid4()); print(str(uuid7())[14:])\n"
    )
    (Path(env["PYTHONPATH"]) / "forked_before.py").write_text(
        "import random\nfrom uuid_utils.compat import uuid4, uuid7\nrandom.random(); uuid4(); uuid7()\n"
    )
    server = ForkServer(env, ["forked_before"])
    # When
    drawn = [read_all(server, command) for _ in range(3)]
    server.close()
    # Then
    assert [code for code, _ in drawn] == [0, 0, 0]
    assert len({line for _, lines in drawn for line in lines}) == 9


def test_a_preloaded_module_is_imported_once_and_a_broken_one_reports_itself(
    env: dict[str, str], module: Module
) -> None:
    # Given one module that counts its imports in a file, and one that cannot be imported
    folder = Path(env["PYTHONPATH"])
    (folder / "counted.py").write_text(
        "from pathlib import Path\nwith (Path(__file__).parent / 'n').open('a') as f: f.write('x')\n"
    )
    (folder / "broken_one.py").write_text("raise RuntimeError('it is broken')\n")
    server = ForkServer(env, ["broken_one", "counted"])
    # When
    command = module("import counted\nprint('still runs')\nimport broken_one\n")
    first, second = read_all(server, command), read_all(server, command)
    server.close()
    # Then
    assert first == second
    assert (first[0], first[1][0], first[1][-1]) == (1, "still runs", "RuntimeError: it is broken")
    assert (folder / "n").read_text() == "x"


def test_a_stopped_server_refuses_and_leaves_no_process(env: dict[str, str], module: Module) -> None:
    server = ForkServer(env, ["json"])
    server.close()
    server.close()
    assert not server.is_running()
    assert is_gone(server.pid)
    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ForkServerError, match=r"^The fork server does not answer\.$"):
        server.spawn(module("pass"))
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_a_server_that_does_not_answer_in_time_is_killed(env: dict[str, str], module: Module) -> None:
    # Given one that started a process, and is frozen
    server = ForkServer(env, ["json"])
    command = module("print('started', flush=True)")
    assert read_all(server, command) == (0, ["started"])
    server.start_seconds = 0.5
    os.kill(server.pid, signal.SIGSTOP)
    # When
    with pytest.raises(ForkServerError, match=r"^The fork server does not answer\.$"):
        server.spawn(command)
    # Then its answer can never be taken for the one of another start
    wait_for(lambda: not server.is_running())
    with pytest.raises(ForkServerError, match=r"^The fork server does not answer\.$"):
        server.spawn(command)
    server.close()
    assert is_gone(server.pid)


def test_a_killed_server_costs_a_restart_of_its_processes(env: dict[str, str], module: Module) -> None:
    # Given two units of one fork server
    line = " ".join(module("import os, time\nprint('ready', os.getppid(), flush=True)\ntime.sleep(60)\n")[:3])
    printed = Printed()

    def list_parents() -> list[int]:
        return [int(line.split()[1]) for _, line in printed.lines if line.startswith("ready")]

    with Supervisor(env, printed, grace_seconds=5, preload=["json"]) as supervisor:
        supervisor.start({"a": line, "b": line})
        wait_for(lambda: len(list_parents()) == 2)
        [server] = set(list_parents())
        before = supervisor.pids()
        # When
        os.kill(server, signal.SIGKILL)
        # Then both are started by another one, and the old ones run no more
        wait_for(lambda: len(list_parents()) == 4)
        [second] = set(list_parents()) - {server}
        after = supervisor.pids()
        assert sorted(after) == ["a.1", "b.1"]
        assert not set(after.values()) & set(before.values())
        wait_for(lambda: all(map(is_gone, before.values())))
        assert [line for _, line in printed.lines if "ended with" in line] == [
            "ended with -9; starting again in 0.5 s"
        ] * 2
    assert all(map(is_gone, [second, *after.values()]))


def test_it_ends_with_whoever_uses_it(env: dict[str, str], module: Module) -> None:
    # Given a process with a fork server and one forked process
    module("import os, time\nprint(os.getpid(), os.getppid(), flush=True)\ntime.sleep(60)\n")
    user = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import os, time\n"
            "from scripts.environments.fork_server import ForkServer\n"
            "from scripts.environments.reaper import mark\n"
            "process = ForkServer({**os.environ, **mark()}, ['json']).spawn(('python', '-m', 'forked_module'))\n"
            "print(process.stdout.readline(), flush=True)\n"
            "time.sleep(60)\n",
        ],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert user.stdout is not None
    with user.stdout:
        pids = [int(each) for each in user.stdout.readline().split()]
    assert len(pids) == 2
    # When
    user.kill()
    user.wait()
    # Then
    wait_for(lambda: all(map(is_gone, pids)))


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (["dramatiq", "workers.main:build_broker", "-p", "1"], ["dramatiq", "workers.main:build_broker", "-p", "1"]),
        (["python", "-m", "workers.scheduler"], ["workers.scheduler"]),
        (["python", "script.py"], []),
        (["python"], []),
        (["python", "-m"], []),
        (["/usr/bin/python", "-m", "workers.scheduler"], []),
        (["sh", "-c", "dramatiq"], []),
        ([], []),
    ],
)
def test_which_commands_are_forked(command: list[str], module: list[str]) -> None:
    assert name_module(command) == module
