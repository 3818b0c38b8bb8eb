"""One signed request to one endpoint: to the checked address, without redirects, within its time."""

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Final

from standardwebhooks.webhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from pipeline.errors import Invalid
from pipeline.webhooks.outbound.endpoint_response import EndpointResponse
from pipeline.webhooks.outbound.url_policy import ForbiddenAddressError, Network, Resolve, Target, find_target

USER_AGENT: Final = "checkout-engine-webhooks/1"
#: How much of a response is read: enough for an operator, too little to fill the memory.
READ_BYTES: Final = 300


def post(
    url: str,
    body: str,
    *,
    secret: str,
    event_id: str,
    networks: Sequence[Network],
    resolve: Resolve,
    timeout_seconds: float,
) -> EndpointResponse:
    """Send a body once. Never raises for what an endpoint or its address may do."""
    ends_at = time.monotonic() + timeout_seconds
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, now, body),
    }
    try:
        target = find_target(url, networks, resolve)
        return _send(target, body.encode(), headers, ends_at)
    except (ForbiddenAddressError, Invalid) as error:
        return EndpointResponse(error=str(error)[:500])
    except (HTTPError, HTTPException, OSError) as error:
        return EndpointResponse(error=f"{type(error).__name__}: {error}"[:500].replace("\x00", "\ufffd"))


def _send(target: Target, body: bytes, headers: dict[str, str], ends_at: float) -> EndpointResponse:
    default_port = 443 if target.scheme == "https" else 80
    host = f"[{target.host}]" if ":" in target.host else target.host
    headers["Host"] = host if target.port == default_port else f"{host}:{target.port}"
    connection = _open(target, max(0.1, ends_at - time.monotonic()))
    # A socket's time-out begins anew with every byte; this one does not.
    bound = threading.Timer(max(0.1, ends_at - time.monotonic()), _cut, [connection])
    bound.start()
    try:
        connection.request("POST", target.path, body=body, headers=headers, preload_content=False)
        response = connection.getresponse()
        if time.monotonic() >= ends_at:
            raise TimeoutError("it took longer than it may")  # a response that was cut off may look whole
        is_delivered = 200 <= response.status < 300
        content = b"" if is_delivered else response.read(READ_BYTES, decode_content=False)
    finally:
        bound.cancel()
        connection.close()
    if is_delivered:
        return EndpointResponse(response.status)
    text = content.decode("utf-8", "replace").replace("\x00", "\ufffd")
    return EndpointResponse(response.status, f"answered {response.status} {text}".strip()[:500])


def _open(target: Target, timeout_seconds: float) -> HTTPConnection:
    """Return a connection to the checked address; the certificate must match the host name. No proxy is used."""
    if target.scheme == "https":
        return HTTPSConnection(
            target.address,
            target.port,
            timeout=timeout_seconds,
            server_hostname=target.host,
            assert_hostname=target.host,
            cert_reqs="CERT_REQUIRED",
        )
    return HTTPConnection(target.address, target.port, timeout=timeout_seconds)


def _cut(connection: HTTPConnection) -> None:
    if connection.sock is not None:
        with suppress(OSError):  # it has ended by itself just now
            connection.sock.shutdown(socket.SHUT_RDWR)
