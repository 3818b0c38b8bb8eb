"""How the SDK reaches Stripe: both time-outs, one pool of connections for all threads, and a note of what was sent."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
import stripe
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

#: A connection across an ocean takes 0.3 s with its TLS. One that takes longer is tried again, nothing being sent yet.
CONNECT_SECONDS: Final = 1.0
#: Repeats within one call, with the same key. One bridges a dropped connection; for more the engine has its own clock.
REPEATS: Final = 1
#: The SDK's pause before its first repeat, exactly.
PAUSE_SECONDS: Final = stripe.HTTPClient.INITIAL_DELAY


class _Attempts(threading.local):
    """Of this thread's call: whether each attempt may have had an effect, as far as its answer shows."""

    def __init__(self) -> None:
        self.doubtful: list[bool] = []


class Wire(stripe.RequestsClient):
    """The SDK's own client on requests: the one whose time-outs for connecting and reading are two.

    A time-out bounds the wait for each next piece of an answer, and answers come in one or two. Looking a name up is
    bounded by the system's resolver alone. Should a call outlive its lease by that, another worker repeats it with the
    same key.
    """

    def __init__(self, read_seconds: float, connections: int) -> None:
        """Open nothing yet."""
        self.session = requests.Session()
        # Without this, a line of ~/.netrc that fits every host would take the place of the access key.
        self.session.auth = _leave_alone
        # Sessions are safe to share among threads as long as they remember nothing: no cookies.
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
        super().__init__(timeout=(CONNECT_SECONDS, read_seconds), session=self.session)
        self.longest_seconds = (1 + REPEATS) * (CONNECT_SECONDS + read_seconds) + REPEATS * PAUSE_SECONDS
        self._attempts = _Attempts()

    def begin(self) -> None:
        """Forget the attempts of this thread's last call."""
        self._attempts.doubtful = []

    @property
    def is_in_doubt(self) -> bool:
        """Whether an attempt before the last one may have had an effect. The last one's answer speaks for itself."""
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
        """Make one attempt, and note it."""
        try:
            content, status, answered = super().request(method, url, headers, post_data)
        except stripe.APIConnectionError as error:
            self._attempts.doubtful.append(not was_never_sent(error))
            raise
        # 409: another request with this key is still at work.
        self._attempts.doubtful.append(status >= 500 or status == 409)
        return content, status, answered


def was_never_sent(error: stripe.APIConnectionError) -> bool:
    """Return whether no connection came about at all, so that Stripe has surely not seen the request."""
    return any(isinstance(each, (requests.ConnectTimeout, NewConnectionError)) for each in chain(error)) or (
        has_bad_certificate(error)
    )


def has_bad_certificate(error: stripe.APIConnectionError) -> bool:
    """Return whether whoever answered could not prove to be Stripe: then nothing was said to them."""
    return any(isinstance(each, ssl.SSLCertVerificationError) for each in chain(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Go from an error through what caused it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _leave_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
