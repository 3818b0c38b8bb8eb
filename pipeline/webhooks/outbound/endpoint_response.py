"""What came of one request to an endpoint."""

from dataclasses import dataclass
from typing import Final

GONE: Final = 410


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """The result of a request. Without `status` there was no response; `error` is why it was not delivered."""

    status: int | None = None
    error: str | None = None
    counted: bool = True

    @property
    def delivered(self) -> bool:
        """Whether the endpoint accepted it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the endpoint is gone for good."""
        return self.status == GONE
