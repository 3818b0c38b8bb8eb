"""The cookie of a browser that has signed in. What it stands for is a row: see pipeline/security/admin_sessions.py."""

from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from pipeline.security.admin_sessions import LIFE_SECONDS

COOKIE: Final = "checkout_admin"
#: Sent to these pages and to nothing else of this host.
PATH: Final = "/admin"


def set_cookie(request: Request, response: Response, token: str) -> None:
    """Have this browser send the token along."""
    # Strict: no link and no form of another site brings it along.
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
    """Have this browser forget it."""
    response.delete_cookie(COOKIE, path=PATH, secure=needs_https(request), httponly=True, samesite="strict")


def needs_https(request: Request) -> bool:
    """Return whether the cookie is for https alone: everywhere but on the machine itself.

    A proxy that ends TLS on another host speaks http with us, and what it says of its client is only believed of the
    proxies in `CHECKOUT_WEB_TRUSTED_PROXIES`. The name that the browser asked for shows it too: it is no loopback's.
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
