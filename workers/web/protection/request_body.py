"""The bound of a request's body: its size, and the time in which it must arrive."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.types import Message

from pipeline.errors import Code, Refused
from pipeline.field_types import read_json


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
