"""The bound on sign-in attempts, by the client's address and in total, in this process."""

import math
import time
from collections import deque
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from pipeline.errors import Code, Refused

WINDOW_SECONDS: Final = 60.0
#: All addresses together may make as many attempts as so many single ones. A key has 256 random bits, too many to
#: guess: the bounds limit the cost of an attempt, 2 ms, and the log.
CLIENTS: Final = 30


class SignInAttempts:
    """Counts the attempts of the last minute, and stores no more than are allowed. For one event loop."""

    def __init__(self, per_minute: int) -> None:
        """Allow so many to each client's address."""
        self._of_one, self._of_all = per_minute, per_minute * CLIENTS
        self._attempts: deque[tuple[float, str]] = deque()

    def count(self, address: str) -> None:
        """Count an attempt from a client's address; Refused(SIGN_INS_LIMITED) when it is one too many, not counted."""
        now, client = time.monotonic(), name_network(address)
        while self._attempts and self._attempts[0][0] <= now - WINDOW_SECONDS:
            self._attempts.popleft()
        # The limit of one address comes first: an address above it takes nothing from the limit of all.
        for limit, counted in (
            (self._of_one, [at for at, name in self._attempts if name == client]),
            (self._of_all, [at for at, _ in self._attempts]),
        ):
            if len(counted) >= limit:
                seconds = math.ceil(counted[0] + WINDOW_SECONDS - now)
                raise Refused(Code.SIGN_INS_LIMITED, limit=limit, seconds=max(1, seconds))
        self._attempts.append((now, client))


def name_network(address: str) -> str:
    """Return the network that counts as one client: a /64 of IPv6, a single address of IPv4."""
    try:
        read = ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(read, IPv6Address):
        return str(read.ipv4_mapped or ip_network((read, 64), strict=False))
    return str(read)
