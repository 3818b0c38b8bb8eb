"""The rate limit of an API key in one process, and the bound of a request's body."""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any, Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.types import Message

from pipeline.errors import Code, Refused
from pipeline.field_types import read_json

WINDOW_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """The rest of a key's rate limit, for the headers `RateLimit` and `RateLimit-Policy` (IETF draft 10)."""

    limit: int
    left: int
    reset_seconds: int
    granted: bool

    @property
    def headers(self) -> dict[str, str]:
        """The two headers."""
        return {
            "RateLimit-Policy": f'"key";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"key";r={self.left};t={self.reset_seconds}',
        }


class RateLimits:
    """Counts the requests of each key over the last minute, in this process only."""

    def __init__(self, per_minute: int) -> None:
        """Allow so many requests to each key."""
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, key_id: str) -> Allowance:
        """Count one request and return what is left."""
        granted = self._limiter.hit(self._item, key_id)
        window = self._limiter.get_window_stats(self._item, key_id)
        reset_seconds = max(1, math.ceil(window.reset_time - time.time()))
        return Allowance(self._item.amount, window.remaining, reset_seconds, granted)


class BoundedRequest(Request):
    """A request with a bounded body, whatever its Content-Length says, read as JSON by `read_json`.

    Reading it raises Refused when it is too large or too late.
    """

    def __init__(self, request: Request, limit: int, seconds: float) -> None:
        """Bound the body of this request to so many bytes, which must arrive within so many seconds."""
        declared = request.headers.get("content-length", "0")
        # Python refuses to read a number of thousands of digits.
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
            raise Refused(Code.BODY_TOO_LARGE, limit=limit)
        super().__init__(request.scope, self._receive_bounded)
        self._given = request.receive
        self._limit, self._seconds = limit, seconds
        self._ends_at = asyncio.get_running_loop().time() + seconds
        self._received = 0

    async def json(self) -> Any:
        """Return the value of the body. Raises as `read_json` does."""
        return read_json(await self.body())

    async def _receive_bounded(self) -> Message:
        try:
            async with asyncio.timeout_at(self._ends_at):
                message = await self._given()
        except TimeoutError:
            raise Refused(Code.REQUEST_TIMEOUT, seconds=self._seconds) from None
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            raise Refused(Code.BODY_TOO_LARGE, limit=self._limit)
        return message
