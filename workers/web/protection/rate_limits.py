"""The rate limits of clients: so many requests of each policy in a minute, in all web processes together.

A minute is one of the clock, the same for all processes, and a count is one number: a request costs the same however
many came before it. A window that moves with each request would keep the time of each one, 6,000 of one API key. So up
to twice the limit may pass within the sixty seconds around the turn of a minute. That is no harm: a limit allows its
whole minute in one burst, and load shedding protects the workers.

A process counts alone, and reports a client's count after each portion, a hundredth of its limit: most requests make no
round trip, and none waits for one. So a process may grant a portion, and what comes during a round trip, before it
knows that the others have used the limit up. P processes grant less than P portions too many: 1 % each. None refuses a
request below the limit.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.errors import Code, Refused
from pipeline.settings import Settings
from workers.web.protection.policies import Policy
from workers.web.protection.shared_counts import WINDOW_SECONDS, Count, SharedCounts

#: A client's count is reported after so many parts of its limit.
PORTIONS: Final = 100
#: All addresses together may make as many attempts to sign in as so many single ones. A key has 256 random bits, too
#: many to guess: the bounds limit the cost of an attempt, 2 ms, and the log.
SIGN_IN_CLIENTS: Final = 30
#: Clients of one policy that are counted at once: 20 MB. The first one is forgotten then, so that a sender with as many
#: addresses fills no memory.
MAX_CLIENTS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """The rest of a client's rate limit, for the headers `RateLimit` and `RateLimit-Policy` (IETF draft 10)."""

    policy: Policy
    limit: int
    left: int
    reset_seconds: int
    granted: bool

    @property
    def headers(self) -> dict[str, str]:
        """The two headers."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.policy}";r={self.left};t={self.reset_seconds}',
        }


class RateLimits:
    """Counts the requests of each client. For one event loop."""

    def __init__(self, limits: Mapping[Policy, int], shared: SharedCounts) -> None:
        """Allow so many requests of each policy in a minute to each client."""
        self._shared = shared
        self._windows = {policy: _Window(policy, limit) for policy, limit in limits.items()}

    def admit(self, policy: Policy, client: str, headers: dict[str, str]) -> None:
        """Count one request, and add to `headers` what is left; Refused when it is one too many."""
        allowance = self.count(policy, client)
        headers.update(allowance.headers)
        if allowance.granted:
            return
        if policy in {Policy.SIGN_INS, Policy.ALL_SIGN_INS}:
            raise Refused(Code.SIGN_INS_LIMITED, limit=allowance.limit, seconds=allowance.reset_seconds)
        raise Refused(Code.RATE_LIMITED, policy=policy.value, limit=allowance.limit, seconds=allowance.reset_seconds)

    def count(self, policy: Policy, client: str) -> Allowance:
        """Count one request, unless it is one too many, and return what is left."""
        window = self._windows[policy]
        now = read_clock()
        count = window.find(client, int(now // WINDOW_SECONDS))
        left = window.limit - count.own - count.others
        granted = left > 0
        if granted:
            count.own += 1
            left -= 1
            if count.own - count.reported >= window.portion:
                self._shared.report(count)
        return Allowance(policy, window.limit, max(0, left), math.ceil(WINDOW_SECONDS - now % WINDOW_SECONDS), granted)

    def close(self) -> None:
        """Stop sharing."""
        self._shared.close()


class _Window:
    """The counts of one policy in this minute."""

    def __init__(self, policy: Policy, limit: int) -> None:
        self._policy = policy
        self.limit = limit
        self.portion = max(1, limit // PORTIONS)
        self._minute = 0
        self._counts: dict[str, Count] = {}

    def find(self, client: str, minute: int) -> Count:
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        count = self._counts.get(client)
        if count is None:
            if len(self._counts) >= MAX_CLIENTS:
                del self._counts[next(iter(self._counts))]
            count = self._counts[client] = Count(f"{self._policy}:{client}:{minute}")
        return count


def read_limits(settings: Settings) -> dict[Policy, int]:
    """Return the limit of each policy."""
    return {
        Policy.READS: settings.web_reads_per_minute,
        Policy.WRITES: settings.web_writes_per_minute,
        Policy.ANONYMOUS: settings.web_anonymous_per_minute,
        Policy.SIGN_INS: settings.web_sign_ins_per_minute,
        Policy.ALL_SIGN_INS: settings.web_sign_ins_per_minute * SIGN_IN_CLIENTS,
    }


def read_clock() -> float:
    """Return the time, in seconds since 1970."""
    return time.time()
