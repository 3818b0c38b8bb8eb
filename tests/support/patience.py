"""How long a test waits on a busy machine: with four times as much work beside it as it has cores.

A bound here ends a test that hangs. It says nothing about the engine, and costs nothing where all goes well.
"""

from typing import Any, Final

#: Bound of a wait for what happens by itself within moments.
WAIT_SECONDS: Final = 60.0

#: For tests that are about something else: the short times of the others take a bank that shares its two cores with
#: eight processes for one that does not answer. What is unknown then waits for a sweep.
PATIENT_BANK: Final[dict[str, Any]] = {"gateway_timeout_seconds": 20.0, "gateway_lease_seconds": 60.0}
