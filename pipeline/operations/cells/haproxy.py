"""The configuration of HAProxy that sends each request to its cell: the map of a known proxy, and no router of its own.

The cell is read from the API key alone, without a question to anybody: a proxy that asked a service for each request
would fail with that service, for all cells at once. Only keys of moved owners are looked up, in a file: by the id of
the key, since a proxy sees no owner, and an id is the public half of a key.
"""

import json
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from pipeline.errors import Code, Invalid, Unavailable
from pipeline.operations.cells.addresses import CellAddress

#: Longer than the longest `Prefer: wait`.
WAIT_SECONDS: Final = 65
#: When a buyer may try again: an edge that is back is found by its next check.
AGAIN_SECONDS: Final = 2
#: A path that needs no quotes in the configuration.
_PATH: Final = re.compile(r"/[A-Za-z0-9_./\-]{1,200}", re.ASCII)
_BIND: Final = re.compile(r"[A-Za-z0-9_.:*\[\]\-]{1,260}", re.ASCII)

_HEAD: Final = """\
# Written by `checkout cells map`. Check it with `haproxy -c -f FILE`.
defaults
    mode http
    option forwardfor
    option httpchk GET /health/checkout
    # Another edge of the same cell is tried when one cannot be reached. What was sent is never sent twice.
    option redispatch
    retries 2
    timeout connect 3s
    timeout client {wait}s
    timeout server {wait}s
    timeout http-request 10s
    # A health check answers within two seconds; a busy host needs some time more, and is not away.
    timeout check 4s
    # Of a cell without an edge that answers, in the words of the edges: the same request may be repeated.
    {unavailable}
    # A cell whose name cannot be resolved keeps no other cell from its requests.
    default-server inter 2s fall 2 rise 1 init-addr last,libc,none

frontend checkout
    bind {bind}
    # A key is ck_CELL_ID_SECRET, and ck_ID_SECRET from before there were cells.
    http-request set-var(txn.second) http_auth_bearer,field(2,_)
    http-request set-var(txn.third) http_auth_bearer,field(3,_)
    acl has_cell http_auth_bearer,field(4,_) -m len 1:
    http-request set-var(txn.cell) var(txn.second)
    http-request set-var(txn.key) var(txn.third) if has_cell
    http-request set-var(txn.key) var(txn.second) if !has_cell
"""


def write_haproxy(
    cells: Sequence[CellAddress], *, bind: str = ":8080", default: str | None = None, moved_keys: str | None = None
) -> str:
    """Return the configuration. `default` is the cell of requests whose key names none of these; else it is the first.

    Keys from before there were cells are such ones, and so are keys of an unknown cell: the edge refuses these by name.
    `moved_keys` is the file that has the id and the cell of each key of a moved owner. Raises Invalid for a default
    that is no cell of these, and for a path or an address that the configuration cannot have.
    """
    names = sorted({each.cell for each in cells})
    if default is not None and default not in names:
        raise Invalid(Code.REQUEST_INVALID, reason=f"the default cell {default} has no address")
    if moved_keys is not None and _PATH.fullmatch(moved_keys) is None:
        raise Invalid(Code.REQUEST_INVALID, reason="the file of moved keys is an absolute path without blanks")
    if _BIND.fullmatch(bind) is None:
        raise Invalid(Code.REQUEST_INVALID, reason="the address to listen at is written as :8080 or 10.0.0.1:8080")
    lines = _HEAD.format(bind=bind, wait=WAIT_SECONDS, unavailable=_write_problem()).splitlines()
    if moved_keys is not None:
        lines += [
            "    # Owners that were moved keep their keys: `checkout cells keys` writes this file.",
            f"    http-request set-var(txn.cell) var(txn.key),map_str({moved_keys})"
            f" if {{ var(txn.key),map_str({moved_keys}) -m found }}",
        ]
    lines += [f"    use_backend cell_{name} if {{ var(txn.cell) -m str {name} }}" for name in names]
    lines.append(f"    default_backend cell_{default or cells[0].cell}")
    for cell, edges in groupby(sorted(cells, key=lambda each: (each.cell, each.host, each.port)), lambda e: e.cell):
        lines += ["", f"backend cell_{cell}", "    balance leastconn"]
        lines += [f"    server edge{number} {_write_server(edge)}" for number, edge in enumerate(edges, start=1)]
    return "\n".join(lines) + "\n"


def _write_problem() -> str:
    """Return the answer for a cell that is away. Its document has no single quote, which would end it."""
    code = Code.UNAVAILABLE
    problem = {"type": f"urn:checkout:problem:{code}", "title": "Service Unavailable", "status": 503}
    document = json.dumps({**problem, "detail": str(Unavailable(code)), "code": code, "facts": {}})
    headers = f"hdr Retry-After {AGAIN_SECONDS} hdr Cache-Control no-store"
    return f"http-error status 503 content-type application/problem+json string '{document}' {headers}"


def _write_server(edge: CellAddress) -> str:
    options = " ssl verify required ca-file @system-ca" if edge.uses_tls else ""
    return f"{edge.host}:{edge.port} check{options}"
