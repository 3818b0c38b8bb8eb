"""The migrations of this release, and one that the next release may have."""

import os
from pathlib import Path
from typing import Final

from alembic.config import Config
from sqlalchemy import Connection

from pipeline.database.migrations import PYPROJECT

OWN: Final = PYPROJECT.parent / "migrations" / "versions"
NEXT: Final = Path(__file__).resolve().parent / "versions"


def configure_next(connection: Connection) -> Config:
    """Return alembic's configuration with both."""
    config = Config(toml_file=PYPROJECT)
    config.attributes["connection"] = connection
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join((str(OWN), str(NEXT))))
    return config
