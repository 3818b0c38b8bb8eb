"""Writes the contracts of the engine from its code: `docs/openapi.json` and `docs/asyncapi.json`.

Exit codes: 0 written or up to date; 1 with `--check`, when one of them differs from the code.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import SecretStr

from pipeline.operations import CommandLine
from pipeline.settings import Settings
from scripts.local_servers.embedded import ROOT, SANDBOX
from scripts.terminal.output import say
from workers import asyncapi
from workers.web.app import build_app

DOCS: Final = ROOT / "docs"


def build_contracts() -> dict[str, str]:
    """Return the text of both documents by file name, without a connection to any server."""
    settings = Settings(
        _env_file=None,
        database_url=SecretStr("postgresql://nowhere"),
        redis_url=SecretStr("redis://nowhere"),
        gateway=SANDBOX,
    )
    documents: dict[str, Any] = {
        "openapi.json": build_app(settings).openapi(),
        "asyncapi.json": asyncapi.build_document(),
    }
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()}


def find_stale(folder: Path) -> list[str]:
    """Return the names of the documents that differ from the code."""
    return [
        name
        for name, text in build_contracts().items()
        if not (folder / name).exists() or (folder / name).read_text() != text
    ]


def main(
    *, check: Annotated[bool, typer.Option("--check", help="Write nothing; report which document differs.")] = False
) -> None:
    """Write the OpenAPI and the AsyncAPI document."""
    stale = find_stale(DOCS)
    for name in stale:
        if check:
            say(f"docs/{name} differs from the code: run `{CommandLine.CONTRACTS}`.", err=True)
        else:
            (DOCS / name).write_text(build_contracts()[name])
            say(f"docs/{name} written.")
    if check and stale:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
