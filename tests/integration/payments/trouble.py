"""What goes on around a call while it is out: webhooks that overtake it, rivals with the same message, sudden death."""

from uuid import UUID

from pipeline.gateways.gateway import Answer, Call, Declined, Unknown
from pipeline.messaging import WEBHOOKS
from pipeline.saga import CHAIN
from tests.integration.payments.matrix import UNHEARD, Case
from tests.integration.payments.stage import Stage
from tests.support.failpoints import SimulatedCrash
from tests.support.harness import Works


class Trouble:
    """What goes on around the calls of one verb, while they are out: it stands in the spy."""

    def __init__(self, stage: Stage, case: Case) -> None:
        """Stand ready. Nothing happens before `begin`."""
        self.stage, self.case = stage, case
        self.calls = 0
        self.told = 0
        self.heard: list[Answer] = []
        self.failures: list[Exception] = []
        self._rival: Works | None = None
        self._refuses_capture = False

    def begin(self, *, refuses_capture: bool = False) -> None:
        """From now on the verb's calls go wrong."""
        self._refuses_capture = refuses_capture
        self.stage.spy.after, self.stage.spy.replace = self._come_first, self._hear

    def end(self) -> None:
        """Assert that all this has really happened, and let the bank be as it is."""
        self.stage.spy.after = None
        if self._rival is not None:
            self._rival.executor.close()
        assert self.failures == []
        assert self.calls >= 1
        assert self.stage.deaths == (self.case.fault == "crash")
        if self.case.fault in UNHEARD:
            assert isinstance(self.heard[0], Unknown)
        if self.case.fault == "decline":
            assert any(isinstance(each, Declined) for each in self.heard)
        if self.case.way == "webhook":
            assert self.told >= 1

    def report(self, checkout_id: UUID) -> None:
        """Deliver what the bank has to say, or, when that is nothing, more than is true; and work on it."""
        self.told += 1
        mail, line = self.stage.mail, self.stage.works.line
        if not mail.deliver(mail.collect()):
            opened = self.stage.shelf.rows("SELECT reference FROM sandbox.payments") or [("sbx_not_opened",)]
            mail.write(f"evt_early_{self.told}", reference=opened[0][0], checkout_id=checkout_id, kind=self._said_kind)
        self.stage.works.inbox.run(line.take(WEBHOOKS))

    @property
    def _said_kind(self) -> str:
        return {"void": "payment.cancelled", "refund": "payment.refunded"}.get(self.case.verb, "payment.captured")

    def _hear(self, verb: str, answer: Answer) -> Answer:
        if verb == self.case.called:
            self.heard.append(answer)
        return Declined("do_not_honor") if verb == "capture" and self._refuses_capture else answer

    def _come_first(self, verb: str, call: Call) -> None:
        if verb != self.case.called:
            return
        self.calls += 1
        try:
            if self.case.way == "webhook" and self.case.fault != "crash":
                self.report(call.checkout_id)
            if self.case.way == "retry":
                self._deliver_again(call)
        except Exception as error:
            # On a thread of the executor's, which takes any exception for a bank that fell silent.
            self.failures.append(error)
            raise
        if self.case.fault == "crash" and self.calls == 1:
            raise SimulatedCrash(verb)

    def _deliver_again(self, call: Call) -> None:
        """Give the message of the call that is out to another process, which must leave it alone."""
        if self._rival is None:
            self._rival = Works(self.stage.engine, self.stage.settings, self.stage.spy)
        made = len(self.stage.spy.calls)
        if self.case.verb in ("void", "refund"):
            self._rival.unwinder.run([call.checkout_id])
        else:
            self._rival.runner.run(CHAIN[5 if self.case.verb == "capture" else 3], [call.checkout_id])
        assert len(self.stage.spy.calls) == made
