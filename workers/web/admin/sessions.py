"""Who has signed in with a browser: a signed cookie that names a key, good for eight hours, or as long as the key."""

import secrets
from typing import Any, Final

from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "checkout_admin"
#: Sent to these pages and to nothing else of this host.
PATH: Final = "/admin"
#: A working day.
LIFE_SECONDS: Final = 8 * 3600


class Sessions:
    """Opens, reads and closes sessions. The cookie holds the key's public half: its secret stays where it was typed.

    Whether the key still lives is asked of the database with each request, so that revoking it ends its sessions.
    """

    def __init__(self, secret: SecretStr | None) -> None:
        """Sign with this; without one, with something of this process's own."""
        signed_with = secrets.token_urlsafe(32) if secret is None else secret.get_secret_value()
        self._signer = URLSafeTimedSerializer(signed_with, salt="checkout-admin-session")

    def open(self, request: Request, response: Response, key_id: str) -> None:
        """Remember in this browser whose key was shown."""
        # Strict: no link and no form of another site brings it along. Secure wherever the browser came by https.
        response.set_cookie(
            COOKIE,
            self._signer.dumps(key_id),
            max_age=LIFE_SECONDS,
            path=PATH,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def read(self, request: Request) -> str | None:
        """Return the public half of the key that this browser has shown; None when it has not, or too long ago."""
        try:
            found: Any = self._signer.loads(request.cookies.get(COOKIE, ""), max_age=LIFE_SECONDS)
        except BadSignature:
            return None
        return str(found)

    def close(self, response: Response) -> None:
        """Have this browser forget it."""
        response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
