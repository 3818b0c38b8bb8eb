"""The fleet of one worker host, a program that the cluster starts with its settings in the environment.

Its arguments are the lines of the Procfile to run, all without any.
"""

import contextlib
import sys
from typing import Final

from pipeline.settings import read_settings
from scripts.environments.ending import Ended, Ending
from scripts.environments.fleet import list_modules, read_procfile
from scripts.environments.supervisor import Supervisor, build_env
from scripts.terminal.output import say

#: Only a signal ends the wait.
LONG_SECONDS: Final = 3600.0


def write(name: str, line: str) -> None:
    """Print one line of a process."""
    say(f"{name} | {line}")


def main() -> None:
    """Keep lines of the Procfile running until a signal comes."""
    lines = read_procfile(with_web=True)
    if chosen := sys.argv[1:]:
        lines = {name: lines[name] for name in chosen}
    with Ending() as ending, Supervisor(build_env(read_settings()), write, preload=list_modules(lines)) as supervisor:
        supervisor.start(lines)
        with contextlib.suppress(Ended):
            while True:
                ending.sleep(LONG_SECONDS)


if __name__ == "__main__":
    main()
