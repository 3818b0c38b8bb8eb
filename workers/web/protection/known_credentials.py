"""Credentials that were valid when this process last looked: their requests are not counted by address."""

from typing import Final

from starlette.requests import Request

#: More than the API keys and the sessions of a large installation. Beyond it the first one is forgotten: its next
#: request is counted by address too.
MAX_KNOWN: Final = 10_000


class KnownCredentials:
    """Remembers valid credentials, as hashes. For one event loop.

    Without it, one sender could use up the limit of a shop behind the same address, or of everybody where the proxy is
    not trusted. It grants nothing: the API key of each request is looked up all the same.
    """

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[int, None] = {}

    def include(self, request: Request) -> bool:
        """Return whether the credentials of this request were valid."""
        return _read(request) in self._known

    def add(self, request: Request) -> None:
        """Remember the credentials of this request: they are valid."""
        self._known[_read(request)] = None
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def discard(self, request: Request) -> None:
        """Forget the credentials of this request: they are not valid, or not any more."""
        self._known.pop(_read(request), None)


def _read(request: Request) -> int:
    """Return a hash of the API key, or of the session."""
    return hash(request.headers.get("authorization") or request.headers.get("cookie", ""))
