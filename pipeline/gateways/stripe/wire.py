"""The SDK's HTTP client: both time-outs, one pool of connections for all threads, and a record of the attempts."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
import stripe
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

#: A connection across an ocean takes 0.3 s with its TLS. A slower one is repeated, since nothing was sent yet.
CONNECT_SECONDS: Final = 1.0
#: Repeats within one call, with the same key. One is enough for a dropped connection; later repeats are the engine's.
REPEATS: Final = 1
#: The SDK's pause before its first repeat, exactly.
PAUSE_SECONDS: Final = stripe.HTTPClient.INITIAL_DELAY


class _Attempts(threading.local):
    """The attempts of this thread's call: whether each may have had an effect, as far as its answer shows."""

    def __init__(self) -> None:
        self.doubtful: list[bool] = []


class Wire(stripe.RequestsClient):
    """The SDK's own client on requests, which has separate time-outs for connecting and reading.

    A time-out bounds the wait for each next piece of an answer, and answers come in one or two. Only the system's
    resolver bounds the look-up of a name. If a call outlives its lease by that, another worker repeats it with the same
    key.
    """

    def __init__(self, read_seconds: float, connections: int) -> None:
        """Open nothing yet."""
        self.session = requests.Session()
        # Without this, a line of ~/.netrc for every host would replace the API key.
        self.session.auth = _return_unchanged
        # Threads can share a session as long as it stores nothing: no cookies.
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
        super().__init__(timeout=(CONNECT_SECONDS, read_seconds), session=self.session)
        self.longest_seconds = (1 + REPEATS) * (CONNECT_SECONDS + read_seconds) + REPEATS * PAUSE_SECONDS
        self._attempts = _Attempts()

    def begin(self) -> None:
        """Clear the attempts of this thread's last call."""
        self._attempts.doubtful = []

    @property
    def is_in_doubt(self) -> bool:
        """Whether an attempt before the last one may have had an effect. The answer of the last one shows its own."""
        return any(self._attempts.doubtful[:-1])

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[Any, int, Mapping[str, str]]:
        """Make one attempt, and record whether it may have had an effect."""
        try:
            content, status, answered = super().request(method, url, headers, post_data)
        except stripe.APIConnectionError as error:
            self._attempts.doubtful.append(not was_never_sent(error))
            raise
        # 409: another request with this key is still running.
        self._attempts.doubtful.append(status >= 500 or status == 409)
        return content, status, answered


def was_never_sent(error: stripe.APIConnectionError) -> bool:
    """Return whether there was no connection, so that Stripe has surely not seen the request."""
    return any(isinstance(each, (requests.ConnectTimeout, NewConnectionError)) for each in chain(error)) or (
        has_bad_certificate(error)
    )


def has_bad_certificate(error: stripe.APIConnectionError) -> bool:
    """Return whether the server could not prove to be Stripe: then nothing was sent to it."""
    return any(isinstance(each, ssl.SSLCertVerificationError) for each in chain(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _return_unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
