"""The faults of calls: named by the token, or by chance."""

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from pipeline.gateways.gateway import Answer, Misconfigured, Transient, Unknown
from pipeline.gateways.sandbox.requests import Keyed, Reply
from pipeline.gateways.sandbox.tokens import FaultyVerb, TokenFault, find_fault

#: Faults that last beyond the first call of a key. A decline is an ordinary answer, from `rules`.
LASTING: Final = frozenset({TokenFault.DECLINED, TokenFault.MISCONFIGURED, TokenFault.BROKEN})

#: Faults with which the bank does nothing.
WITHOUT_EFFECT: Final = frozenset(
    {TokenFault.TIMEOUT_BEFORE, TokenFault.ERROR, TokenFault.UNAVAILABLE, TokenFault.BROKEN, TokenFault.MISCONFIGURED}
)

NOTHING: Final = Unknown("nothing_done")

#: What the caller receives instead of the answer.
HEARD: Final[dict[TokenFault, Answer]] = {
    TokenFault.TIMEOUT_BEFORE: Unknown("timeout"),
    TokenFault.TIMEOUT_AFTER: Unknown("timeout"),
    TokenFault.ERROR: Unknown("server_error"),
    TokenFault.ERROR_AFTER: Unknown("server_error"),
    TokenFault.BROKEN: Unknown("server_error"),
    TokenFault.MALFORMED: Unknown("malformed"),
    TokenFault.UNAVAILABLE: Transient("unavailable"),
    TokenFault.MISCONFIGURED: Misconfigured("access_refused"),
}

#: The faults that come by chance: no decline, and none that a repeat does not overcome.
CHANCES: Final = tuple(fault for fault in TokenFault if fault not in LASTING)

#: References whose retrievals are counted. Beyond this the counts start again; a repeatable run has fewer.
MAX_COUNTED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Conduct:
    """The bank's behaviour: the time of a hanging and of a slow call, the life of authorisations, faults by chance."""

    hang_seconds: float = 0
    slow_seconds: float = 0
    authorization_seconds: float = 7 * 24 * 3600
    fault_rate: float = 0
    fault_seed: int = 0


class Faults:
    """Chooses faults. The same seed, key and count give the same fault, in every process."""

    def __init__(self, conduct: Conduct) -> None:
        """Take the rate, the seed and the times."""
        self._rate, self._seed = conduct.fault_rate, conduct.fault_seed
        self._held = {
            TokenFault.TIMEOUT_BEFORE: conduct.hang_seconds,
            TokenFault.TIMEOUT_AFTER: conduct.hang_seconds,
            TokenFault.SLOW: conduct.slow_seconds,
        }
        self._retrievals: Counter[str] = Counter()

    def of_call(self, request: Keyed, calls: int) -> TokenFault | None:
        """Return the fault of this call, after so many calls with its key."""
        return self.of_key(request.verb, request.call.token, request.call.key, calls)

    def of_key(self, verb: FaultyVerb, token: str, key: str, calls: int) -> TokenFault | None:
        """Return the fault of a call, after so many calls with its key."""
        named = find_fault(verb, token)
        if named is not None and named is not TokenFault.DECLINED and (calls == 0 or named in LASTING):
            return named
        return self._draw(key, calls) if self._rate else None

    def of_retrieval(self, reference: str | None) -> TokenFault | None:
        """Return the fault of this retrieval of an object, and count the retrieval."""
        if not self._rate or reference is None:
            return None
        if len(self._retrievals) >= MAX_COUNTED:
            self._retrievals.clear()
        count = self._retrievals[reference]
        self._retrievals[reference] += 1
        return self._draw(reference, count)

    def held_seconds(self, request: Keyed) -> float:
        """Return how long the first call of this key keeps it in use."""
        return self.hold_seconds(self.of_call(request, 0))

    def hold_seconds(self, first: TokenFault | None) -> float:
        """Return how long a first call with this fault keeps its key in use."""
        return 0 if first is None else self._held.get(first, 0)

    def spoil(self, fault: TokenFault | None, answer: Answer = NOTHING) -> Reply:
        """Return what the caller receives for the bank's answer, and when. A fault without effect has no answer."""
        if fault is None:
            return Reply(answer)
        return Reply(HEARD.get(fault, answer), self._held.get(fault, 0))

    def _draw(self, name: str, count: int) -> TokenFault | None:
        drawn = blake2b(f"{self._seed}:{name}:{count}".encode("utf-8", "replace"), digest_size=16).digest()
        if int.from_bytes(drawn[:8]) >= self._rate * 2**64:
            return None
        return CHANCES[int.from_bytes(drawn[8:]) % len(CHANCES)]
