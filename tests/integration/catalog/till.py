"""The command that fills the catalog, as tests call it."""

from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from scripts.catalog import app

HEADER: Final = "Handle,Title,Variant SKU,Variant Inventory Qty,Variant Inventory Policy,Variant Price"


def call(*arguments: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def moment(engine: Engine) -> str:
    """Return the time of the database, as the command reads it."""
    with engine.connect() as connection:
        return str(connection.scalar(text("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.US\"+00:00\"')")))


def save(folder: Path, *lines: str, header: str = HEADER) -> Path:
    """Write a product export."""
    path = folder / "export.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path
