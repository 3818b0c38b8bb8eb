"""The cookie of a browser session. The session itself is a row: see pipeline/security/admin_sessions.py."""

from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from pipeline.security.admin_sessions import LIFE_SECONDS

COOKIE: Final = "checkout_admin"
#: The browser sends it to these pages only.
PATH: Final = "/admin"


def set_cookie(request: Request, response: Response, token: str) -> None:
    """Set the cookie with this token."""
    # Strict: a browser sends it with no link and no form of another site.
    response.set_cookie(
        COOKIE,
        token,
        max_age=LIFE_SECONDS,
        path=PATH,
        secure=needs_https(request),
        httponly=True,
        samesite="strict",
    )


def read_cookie(request: Request) -> str:
    """Return the token that this browser sends; empty when it sends none."""
    return request.cookies.get(COOKIE, "")


def drop_cookie(request: Request, response: Response) -> None:
    """Delete the cookie."""
    response.delete_cookie(COOKIE, path=PATH, secure=needs_https(request), httponly=True, samesite="strict")


def needs_https(request: Request) -> bool:
    """Return whether the cookie is for https only: everywhere except on the machine itself.

    A proxy that ends TLS on another host sends http, and only proxies in `CHECKOUT_WEB_TRUSTED_PROXIES` may report the
    client's scheme. The `Host` of the request decides too: it must be a loopback address.
    """
    return request.scope["scheme"] == "https" or not _is_loopback(request.headers.get("host", ""))


def _is_loopback(host: str) -> bool:
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
