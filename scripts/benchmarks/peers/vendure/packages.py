"""Installs Vendure from the npm registry into the user's cache: nothing of it is in the repository."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from scripts.environments.command_errors import CommandError

SOURCES: Final = Path(__file__).parent
#: Node.js 20 is the oldest that Vendure 3 supports.
OLDEST_NODE: Final = 20
#: Some four hundred packages; a quarter of an hour on a busy machine.
INSTALL_SECONDS: Final = 1800
#: The packages' own scripts do not run: none is needed.
INSTALL: Final = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
#: Written when the installation is complete.
MARKER: Final = "installed"


def install(say: Callable[[str], object]) -> None:
    """Install Vendure unless it is there already; raise CommandError where that cannot be."""
    npm, folder = find_programs()[1], find_folder()
    if (folder / MARKER).exists():
        return
    say(f"Vendure is installed into {folder}; that takes minutes.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(SOURCES / "package.json", folder)
    try:
        done = subprocess.run(
            [npm, *INSTALL], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"npm had not installed Vendure after {INSTALL_SECONDS} s; leave `vendure` out.") from None
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[:300]
        raise CommandError(f"npm could not install Vendure, so leave `vendure` out or repair this: {reason}")
    (folder / MARKER).touch()


def find_programs() -> tuple[str, str]:
    """Return the paths of node and npm; raise CommandError when one is missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing = "node" if node is None else "npm"
        raise CommandError(
            f"There is no {missing} in PATH: install Node.js {OLDEST_NODE} or newer with npm, or leave `vendure` out."
        )
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if (found := re.match(r"v(\d+)\.", version)) is None or int(found[1]) < OLDEST_NODE:
        raise CommandError(f"Vendure needs Node.js {OLDEST_NODE} or newer, and this is {version or 'none'}.")
    return node, npm


def find_folder() -> Path:
    """Return the folder of these versions in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    versions = hashlib.sha256((SOURCES / "package.json").read_bytes()).hexdigest()[:12]
    return Path(cache) / "checkout-engine" / f"vendure-{versions}"


def copy_programs() -> Path:
    """Copy the shop's programs beside the packages, where Node.js looks for these; return the folder."""
    folder = find_folder()
    for program in SOURCES.glob("*.js"):
        shutil.copy(program, folder)
    return folder
