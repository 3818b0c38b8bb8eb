"""The addresses of cells, as `eu1=http://10.0.0.1:8000`: each is one edge of one cell."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from models.cells import check_cell_name
from pipeline.errors import Code, Invalid

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9_.\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class CellAddress:
    """One edge of a cell."""

    cell: str
    host: str
    port: int
    uses_tls: bool


def parse_cells(texts: Sequence[str]) -> list[CellAddress]:
    """Return the addresses; a cell may have several. Raises Invalid for any other text, and a repeated one."""
    if not texts:
        raise Invalid(Code.REQUEST_INVALID, reason="no cell is named, as in --cell eu1=http://10.0.0.1:8000")
    found = [_parse(text) for text in texts]
    if len(set(found)) < len(found):
        raise Invalid(Code.REQUEST_INVALID, reason="an address of a cell is there twice")
    return found


def _parse(text: str) -> CellAddress:
    name, _, url = text.partition("=")
    try:
        cell = check_cell_name(name)
    except ValueError as error:
        raise _refuse(str(error)) from None
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        raise _refuse("its address begins with http:// or https://")
    try:
        given = parts.port
    except ValueError:
        raise _refuse("its port is no number from 1 to 65535") from None
    host = parts.netloc if given is None else parts.netloc.rpartition(":")[0]
    if given == 0 or _HOST.fullmatch(host) is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _refuse("its address has a host and a port, and nothing else")
    return CellAddress(cell, host, given or _PORTS[parts.scheme], parts.scheme == "https")


def _refuse(why: str) -> Invalid:
    return Invalid(Code.REQUEST_INVALID, reason=f"a cell is given as eu1=http://10.0.0.1:8000, and {why}")
