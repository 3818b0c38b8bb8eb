"""A checkout's way forward and back: the chain, its runner, the unwinder, the executor under both.

Public modules: `backward` and `forward` (each change of the row), `chain` (the list of phases), `executor` (its steps),
`resolve` (unknown outcomes), `slow` (slow is not lost), `sweep` (expires, redelivers).
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily
from pipeline.saga.chain import CHAIN, Phase, find_phase, get_chain

# Imported when a name is used: views and statistics need the names of the phases alone, and what runs them needs
# the gateway calls too.
if TYPE_CHECKING:
    from pipeline.saga.executor import Executor
    from pipeline.saga.payment_poller import PaymentPoller
    from pipeline.saga.runner import Runner
    from pipeline.saga.unwind import Unwinder
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "Executor": "executor",
            "PaymentPoller": "payment_poller",
            "Runner": "runner",
            "Unwinder": "unwind",
        },
    )


__all__ = ["CHAIN", "Executor", "PaymentPoller", "Phase", "Runner", "Unwinder", "find_phase", "get_chain"]
