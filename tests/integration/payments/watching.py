"""A bank that is watched."""

from pipeline.saga import CHAIN
from tests.support.harness import Works
from tests.support.workbench import Spy

PHASES = {phase.name: phase for phase in CHAIN}
AUTHORIZATION, CAPTURE = PHASES["payment_authorization"], PHASES["payment_capture"]


def watch(works: Works) -> Spy:
    """Put a spy between the engine and its bank."""
    spy = Spy(works.gateway)
    works.executor.close()
    works.use(spy, backlog=works.line)
    return spy
