"""The schema, by its migrations: what `alembic upgrade head` does, for programs that set up a database themselves."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from models.names import PARTITIONS_SCHEMA

if TYPE_CHECKING:
    from alembic.config import Config

#: The migrations are beside the packages: the engine is installed from its repository, never from an index.
ROOT: Final = Path(__file__).resolve().parents[2]
PYPROJECT: Final = ROOT / "pyproject.toml"
VERSIONS: Final = ROOT / "migrations" / "versions"

_REVISION: Final = re.compile(r"^(revision|down_revision)\b.*?=(.*)$", re.MULTILINE)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Upgrade the database to `revision`, or downgrade it to `base`; harmless when it has that revision already."""
    from alembic import command  # noqa: PLC0415 (110 modules; other processes only ask for the head)

    config = _configure(connection)
    if revision == "base":
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def read_head() -> str:
    """Return the revision that this code expects: the one that no other follows.

    It is read from the text of the revisions, without alembic: every web process asks for it.
    """
    found = {"revision": set[str](), "down_revision": set[str]()}
    for path in VERSIONS.glob("*.py"):
        for name, value in _REVISION.findall(path.read_text()):
            found[name].update(re.findall(r"[\"'](.+?)[\"']", value))
    heads = found["revision"] - found["down_revision"]
    if len(heads) != 1:
        raise LookupError(f"There is no migration that comes last: {', '.join(sorted(heads)) or 'none at all'}.")
    return heads.pop()


def is_modelled(found: Any, _name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:  # noqa: FBT001
    """Return whether alembic compares this with the models: partitions, and keys that name them, follow from tables."""
    if kind == "foreign_key_constraint":
        return not any(each.target_fullname.startswith(f"{PARTITIONS_SCHEMA}.") for each in found.elements)
    return bool(getattr(found, "table", found).schema != PARTITIONS_SCHEMA)


def describe_types(connection: Connection) -> None:
    """Tell SQLAlchemy the types of the models that it does not know: it would warn of each when it reads the schema."""
    from models.base import TransactionId  # noqa: PLC0415 (as in `migrate`: with the mapper)

    connection.dialect.ischema_names.setdefault("xid8", TransactionId)  # type: ignore[attr-defined]


def _configure(connection: Connection) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 (as in `migrate`)

    config = Config(toml_file=PYPROJECT)
    config.attributes["connection"] = connection
    return config
