"""The schema, by its migrations: what `alembic upgrade head` does, for programs that set up a database themselves."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

#: The migrations are beside the packages: the engine is installed from its repository, never from an index.
PYPROJECT: Final = Path(__file__).resolve().parents[2] / "pyproject.toml"


def migrate(connection: Connection, revision: str = "head") -> None:
    """Upgrade the database to `revision`, or downgrade it to `base`; harmless when it has that revision already."""
    config = _configure(connection)
    if revision == "base":
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def read_head() -> str:
    """Return the revision that this code expects."""
    head = ScriptDirectory.from_config(Config(toml_file=PYPROJECT)).get_current_head()
    if head is None:
        raise LookupError("There is no migration.")
    return head


def _configure(connection: Connection) -> Config:
    config = Config(toml_file=PYPROJECT)
    config.attributes["connection"] = connection
    return config
