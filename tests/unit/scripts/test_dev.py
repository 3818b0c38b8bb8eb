"""The functions of the command that prepares the environment."""

import ast
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts import dev
from scripts.command_table import COMMANDS

#: `dev.py` in the environment that runs this test.
FORWARD = (
    "import pathlib, sys; from scripts import dev; dev.prepare = lambda: None;"
    "dev.BIN = pathlib.Path(sys.executable).parent; dev.main(sys.argv[1:])"
)

ROOT = Path(dev.__file__).resolve().parents[1]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the two lists of packages and the table of commands, and without an environment."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'copy'\n")
    (tmp_path / "scripts" / "constraints.txt").write_text("")
    table = Path(dev.__file__).with_name("command_table.py")
    (tmp_path / "scripts" / "command_table.py").write_text(table.read_text())
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(dev, "BIN", tmp_path / ".venv" / "bin")
    monkeypatch.setattr(dev, "STAMP", tmp_path / ".venv" / ".installed")
    return tmp_path


@pytest.fixture
def ran(copy: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run; making an environment creates its files."""
    commands: list[list[str]] = []

    def record(command: list[str]) -> int:
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            (copy / ".venv" / "bin").mkdir(parents=True)
            (copy / ".venv" / "pyvenv.cfg").touch()
            (copy / ".venv" / "bin" / "python").touch()
        return 0

    monkeypatch.setattr(dev, "run", record)
    return commands


def test_two_at_once_make_one_environment(copy: Path, ran: list[list[str]]) -> None:
    asked, entered = threading.Event(), threading.Event()

    def second() -> None:
        asked.set()
        dev.prepare()
        entered.set()

    other = threading.Thread(target=second)
    with dev.alone():
        other.start()
        asked.wait()
        assert not entered.wait(0.2)
        dev.prepare_alone()
    other.join()
    # The second one found everything in place.
    assert (entered.is_set(), len(ran), (copy / ".venv" / ".installed").read_text()) == (True, 2, dev.name_inputs())


@pytest.mark.parametrize("version", [(3, 10), (3, 6), (2, 7)])
def test_an_old_python_is_refused_with_one_sentence(version: tuple[int, int]) -> None:
    with pytest.raises(dev.SetupError) as caught:
        dev.check_python(version)
    assert str(caught.value) == (
        f"This needs Python 3.11 or newer and runs on {version[0]}.{version[1]}: start it with a newer one, such as "
        "`python3.11 scripts/dev.py`."
    )


def test_an_old_python_can_read_the_file_at_all() -> None:
    ast.parse(Path(dev.__file__).read_text(), feature_version=(3, 7))


def test_the_checks_run_without_any_package() -> None:
    # -S: without site-packages
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import scripts.environments.side_by_side"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)


@pytest.mark.parametrize("version", [(3, 11), (3, 14), (4, 0)])
def test_a_newer_python_is_accepted(version: tuple[int, int]) -> None:
    dev.check_python(version)


def test_the_first_run_makes_and_installs_and_the_second_does_nothing(copy: Path, ran: list[list[str]]) -> None:
    # When
    dev.prepare()
    # Then
    python = str(copy / ".venv" / "bin" / "python")
    assert ran == [
        [sys.executable, "-m", "venv", str(copy / ".venv")],
        [*(python, "-m", "pip", "install", "--quiet"), *("-c", "scripts/constraints.txt", "-e", ".[dev]")],
    ]
    # When
    ran.clear()
    dev.prepare()
    # Then
    assert ran == []


def test_other_packages_are_installed_into_the_same_environment(copy: Path, ran: list[list[str]]) -> None:
    # Given
    dev.prepare()
    ran.clear()
    # When
    (copy / "scripts" / "constraints.txt").write_text("rich==15.0.0\n")
    dev.prepare()
    # Then
    assert [command[1:4] for command in ran] == [["-m", "pip", "install"]]


def test_an_environment_that_was_moved_is_made_anew(copy: Path, ran: list[list[str]]) -> None:
    # Given
    dev.prepare()
    dev.STAMP.write_text(dev.STAMP.read_text().replace(str(copy), "/elsewhere"))
    ran.clear()
    # When
    dev.prepare()
    # Then
    assert [command[1:3] for command in ran] == [["-m", "venv"], ["-m", "pip"]]


def test_an_installation_that_failed_is_done_again(
    copy: Path, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    record = dev.run
    monkeypatch.setattr(dev, "run", lambda command: record(command) or int("pip" in command))
    with pytest.raises(dev.SetupError, match="The packages could not be installed"):
        dev.prepare()
    monkeypatch.setattr(dev, "run", record)
    ran.clear()
    # When
    dev.prepare()
    # Then
    assert [command[1:3] for command in ran][-1] == ["-m", "pip"]
    assert dev.STAMP.exists()


def test_a_folder_that_is_no_environment_is_left_alone(copy: Path, ran: list[list[str]]) -> None:
    # Given
    (copy / ".venv").mkdir()
    (copy / ".venv" / "notes.txt").write_text("mine")
    # When
    with pytest.raises(dev.SetupError, match="is not a virtual environment: move it away"):
        dev.prepare()
    # Then
    assert (copy / ".venv" / "notes.txt").read_text() == "mine"
    assert ran == []


@pytest.mark.parametrize(
    ("modules", "commands", "maker", "installer"),
    [
        ({"venv", "ensurepip", "pip"}, {"uv": "/bin/uv"}, f"{sys.executable} -m venv", ".venv/bin/python -m pip"),
        ({"venv", "pip"}, {"uv": "/bin/uv"}, "/bin/uv venv --quiet", "/bin/uv pip install"),
        ({"virtualenv"}, {}, f"{sys.executable} -m virtualenv", ".venv/bin/python -m pip"),
        (set(), {"virtualenv": "/bin/virtualenv"}, "/bin/virtualenv --quiet --python", ".venv/bin/python -m pip"),
        ({"venv", "pip"}, {}, f"{sys.executable} -m venv", f"{sys.executable} -m pip"),
    ],
)
def test_the_environment_is_made_with_what_the_machine_has(
    copy: Path, modules: set[str], commands: dict[str, str], maker: str, installer: str
) -> None:
    make, install = dev.choose_maker(modules, commands)
    assert " ".join(make[:3]).startswith(maker)
    assert " ".join(install[:3]).replace(f"{copy}/", "") == installer


def test_a_python_that_can_make_no_environment_says_what_to_install() -> None:
    with pytest.raises(dev.SetupError, match=r"sudo apt install python3-venv"):
        dev.choose_maker({"venv"}, {})


def test_help_lists_the_tools_and_every_command_before_there_is_an_environment(
    copy: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dev.main(["--help"]) == 0
    named = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert named == ["test", "lint", *(name for name in COMMANDS if " " not in name)]
    assert ran == []


@pytest.mark.parametrize("name", ["nothing", "../demo", "demo.py", "checkouts list", "servers"])
def test_an_unknown_tool_is_refused_before_anything_is_installed(
    copy: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert dev.main([name]) == 2
    error = f"There is no tool or command `{name}`; `python3 scripts/dev.py --help` lists them.\n"
    assert capsys.readouterr().err == error
    assert ran == []


def test_everything_else_is_forwarded_to_checkout_in_the_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORWARD, "checkouts", "retry", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.splitlines()[0].endswith("/checkout checkouts retry --help")
    assert "Usage: checkout checkouts retry [OPTIONS]" in done.stdout


def test_exit_codes_are_passed_on(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert dev.run([sys.executable, "-c", "raise SystemExit(7)"]) == 7
    assert dev.run(["/bin/sh", "-c", "kill -TERM $$"]) == 143
    assert capfd.readouterr().err.splitlines()[1] == "$ /bin/sh -c 'kill -TERM $$'"


def test_ctrl_c_ends_quietly_with_130() -> None:
    # Given a running tool that waits for the terminal's signal
    code = (
        "from scripts import dev; dev.prepare = lambda: None;"
        "dev.run_checks = lambda: dev.run(['/bin/sh', '-c', 'echo ready; exec sleep 60']);"
        "raise SystemExit(dev.main(['lint']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # When the terminal signals the whole group
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=20)
    # Then
    assert process.returncode == 130
    assert error.splitlines() == ["$ /bin/sh -c 'echo ready; exec sleep 60'"]
