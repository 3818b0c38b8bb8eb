"""How much one key may ask of one process, and how much one request may bring along."""

import math
import time
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.types import Message

from pipeline.errors import Code, Refused

WINDOW_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's minute, as the fields `RateLimit` and `RateLimit-Policy` (IETF draft 10) say it."""

    limit: int
    left: int
    reset_seconds: int
    granted: bool

    @property
    def headers(self) -> dict[str, str]:
        """The two fields."""
        return {
            "RateLimit-Policy": f'"key";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"key";r={self.left};t={self.reset_seconds}',
        }


class RateLimits:
    """Counts the requests of each key over the last minute, in this process alone: nothing is shared, nothing waits."""

    def __init__(self, per_minute: int) -> None:
        """Allow so many requests a key."""
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, key_id: str) -> Allowance:
        """Count one request and tell what is left."""
        granted = self._limiter.hit(self._item, key_id)
        window = self._limiter.get_window_stats(self._item, key_id)
        reset_seconds = max(1, math.ceil(window.reset_time - time.time()))
        return Allowance(self._item.amount, window.remaining, reset_seconds, granted)


def limit_body(request: Request, limit: int) -> Request:
    """Return the request with its body bounded, whatever its Content-Length says: Refused once it is too large."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise Refused(Code.BODY_TOO_LARGE, limit=limit)
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise Refused(Code.BODY_TOO_LARGE, limit=limit)
        return message

    return Request(request.scope, receive)
