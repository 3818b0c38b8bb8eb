"""The way of a checkout, forward and back: the chain, its runner, the unwinder, the executor under both.

Public modules: `backward` and `forward` (each change of the row), `chain` (the list of phases), `executor` (its steps),
`resolve` (unknown outcomes), `slow` (slow is not lost), `sweep` (expires, redelivers).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.saga.chain import CHAIN, Phase, find_phase, get_chain

# Imported when a name is asked for: views and statistics need the names of the phases alone, and what runs them needs
# the gateway calls too.
if TYPE_CHECKING:
    from pipeline.saga.executor import Executor
    from pipeline.saga.payment_poller import PaymentPoller
    from pipeline.saga.runner import Runner
    from pipeline.saga.unwind import Unwinder
else:
    _MODULES = {
        "Executor": "executor",
        "PaymentPoller": "payment_poller",
        "Runner": "runner",
        "Unwinder": "unwind",
    }

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"pipeline.saga.{_MODULES[name]}"), name)


__all__ = ["CHAIN", "Executor", "PaymentPoller", "Phase", "Runner", "Unwinder", "find_phase", "get_chain"]
