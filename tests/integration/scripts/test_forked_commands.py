"""A forked command is what an executed one is: its arguments, files, environment, paths, exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from scripts.environments.fork_loop import MESSAGE_BYTES
from scripts.environments.fork_server import IS_AVAILABLE, ForkServerError
from tests.integration.scripts.test_supervisor import is_gone
from tests.support import commands

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="processes are forked on Linux")

#: Prints all that a command can see of how it was started, with the command's parent at the end.
SHOWN: Final = """
import json, os, signal, sys
package = sys.modules["__main__"].__package__ or None
outputs = (sys.stdout, sys.stderr)
print(json.dumps([
    __name__, __file__, package, sys.argv, sys.path, os.getcwd(), dict(os.environ), sys.stdin.read(),
    [[s.encoding, s.errors, s.line_buffering, s.write_through, s.isatty(), s.seekable()] for s in outputs],
    [signal.getsignal(n) is signal.default_int_handler for n in (signal.SIGINT, signal.SIGTERM)],
    signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    sorted(n for n in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{n}")),
]))
print(os.getppid(), file=sys.stderr)
sys.exit(7)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script in a folder of its own, which is also a module."""
    folder = tmp_path / "scripts of others"
    folder.mkdir()
    return folder / "shown_command.py"


def run(script: Path, *arguments: str, execute: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SEEN": "é", **environment}
    return commands.run([sys.executable, *arguments], cwd=script.parent, env=env, timeout=60, execute=execute)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("kind", ["file", "module"])
def test_it_sees_what_an_executed_one_sees(script: Path, kind: str, unbuffered: str) -> None:
    # Given
    script.write_text(SHOWN)
    named = {"file": [str(script)], "module": ["-m", "shown_command"]}[kind]
    # When
    executed, forked = (
        run(script, *named, "one", "two words", execute=execute, PYTHONUNBUFFERED=unbuffered)
        for execute in (True, False)
    )
    # Then the first is a child of this process, and the second of the fork server
    assert (executed.returncode, forked.returncode) == (7, 7)
    assert int(executed.stderr) == os.getpid()
    assert int(forked.stderr) not in {os.getpid(), 1}
    found: list[list[Any]] = [json.loads(each.stdout) for each in (executed, forked)]
    assert found[1] == found[0]
    assert found[0][3][1:] == ["one", "two words"]
    assert found[0][5] == str(script.parent)


@pytest.mark.parametrize(
    "source", ["raise SystemExit('a sentence')", "1 / 0", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"]
)
def test_it_ends_as_an_executed_one_ends(script: Path, source: str) -> None:
    script.write_text(f"print('out')\n{source}\n")
    executed, forked = (run(script, str(script), execute=execute) for execute in (True, False))
    assert (forked.returncode, forked.stdout) == (executed.returncode, executed.stdout)
    assert forked.stderr.splitlines()[-1:] == executed.stderr.splitlines()[-1:]


def test_nothing_of_one_is_seen_by_the_next(script: Path) -> None:
    script.write_text(
        "import os, random, typer\nfrom scripts.environments.reaper import mark\n"
        "print(os.environ.get('LEFT'), getattr(typer, 'left', None), os.getcwd())\n"
        "print(random.random(), *mark())\nos.environ['LEFT'] = typer.left = 'left'\nos.chdir('/')\n"
    )
    first, second = (run(script, str(script)).stdout.splitlines() for _ in range(2))
    assert first[0] == second[0] == f"None None {script.parent}"
    # Random numbers, and the mark of the processes that end with it, are its own
    assert not set(first[1].split()) & set(second[1].split())


def test_a_lasting_one_is_signalled_and_read_until_its_end(script: Path) -> None:
    # Given
    script.write_text(
        "import signal, sys\nsignal.signal(signal.SIGUSR1, lambda *_: sys.exit('ended'))\n"
        "print('ready', flush=True)\nsignal.pause()\n"
    )
    for merged, wanted in ((False, ("", "ended\n")), (True, ("ended\n", ""))):
        command = [sys.executable, str(script)]
        with commands.start(command, cwd=script.parent, env=os.environ, merged=merged) as process:
            assert process.stdout is not None
            assert (process.stdout.readline(), process.returncode) == ("ready\n", None)
            # When
            process.send_signal(signal.SIGUSR1)
            # Then
            assert process.communicate(timeout=60) == wanted
            assert process.wait(60) == process.returncode == 1


def test_one_that_takes_too_long_is_killed(script: Path) -> None:
    script.write_text("import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)\n")
    with pytest.raises(subprocess.TimeoutExpired):
        commands.run([sys.executable, str(script)], cwd=script.parent, env=os.environ, timeout=1)
    assert is_gone(int((script.parent / "pid").read_text()))


def test_another_setting_of_the_interpreter_executes_it(script: Path) -> None:
    script.write_text("import os, sys\nprint(os.getppid(), sys.flags.optimize)\n")
    done = run(script, str(script), PYTHONOPTIMIZE="2")
    assert done.stdout == f"{os.getpid()} 2\n"


def test_a_request_that_is_too_long_is_refused_and_the_next_is_served(script: Path) -> None:
    script.write_text("print('served')\n")
    with pytest.raises(ForkServerError):
        run(script, str(script), LONG="x" * MESSAGE_BYTES)
    assert run(script, str(script)).stdout == "served\n"
