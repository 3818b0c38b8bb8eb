"""The bank's counter as a test uses it: objects made, moved and spoiled behind the engine's back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from models.money import Money
from pipeline.audit import audit
from pipeline.gateways import Gateway
from pipeline.gateways.gateway import Answer, Call, Held, Succeeded
from pipeline.reconciliation.comparison import reconcile
from pipeline.reconciliation.findings import Comparison, Finding
from pipeline.reconciliation.orphaned_payments import Repair
from pipeline.reconciliation.repair import Repairer
from tests.support.harness import Shelf, Works
from tests.support.workbench import Spy, take_snapshot

#: How far a made object has come, and the calls that bring it there.
STEPS: Final = ("open", "authorize", "capture", "refund")

#: A finding's row: kind, checkout, reference, stored status, provider's status, order, kept, authorised (minor units).
Facts = tuple[str, UUID, str | None, str | None, str | None, int | None, int | None, int | None]


@dataclass
class Listing(Spy):
    """A gateway with which a test can act between the list and its comparison."""

    listed: Callable[[list[Held]], Iterator[Held]] | None = None

    def list_held(self, since: datetime) -> Iterator[Held]:
        """List."""
        held = self.inner.list_held(since)
        return held if self.listed is None else self.listed(list(held))


def compare(works: Works, gateway: Gateway | None = None) -> Comparison:
    """Compare the last hour."""
    since = datetime.now(UTC) - timedelta(hours=1)
    return reconcile(works.engine, gateway or works.gateway, works.settings, since)


def repair(works: Works, findings: Sequence[Finding]) -> list[Repair]:
    """Settle what has a rule."""
    repairer = Repairer(works.engine, works.gateway, works.poller, works.unwinder, works.charges, works.settings)
    return repairer.repair(findings)


def outcomes(repairs: Sequence[Repair]) -> list[tuple[str, str, str | None, str | None]]:
    """Return of each repair what it is about, what was done, the amount, and why it stands."""
    return [
        (each.finding.kind.value, each.did, None if each.amount is None else str(each.amount), each.reason)
        for each in repairs
    ]


def facts(comparison: Comparison) -> list[Facts]:
    """Return the facts of every finding, sorted by kind and reference."""
    return sorted((_facts(each) for each in comparison.findings), key=lambda each: (each[0], each[2] or ""))


def _facts(finding: Finding) -> Facts:
    local, held = finding.local, finding.held
    return (
        finding.kind.value,
        finding.checkout_id,
        finding.reference,
        None if local is None or local.status is None else local.status.value,
        None if held is None else held.status.value,
        None if finding.due is None else finding.due.minor,
        None if finding.kept is None else finding.kept.minor,
        None if finding.authorized is None else finding.authorized.minor,
    )


def check_out(works: Works, shelf: Shelf, token: str = "tok_ok") -> UUID:
    """Check two cups out straight through, 500 in all; returns the checkout where it came to rest."""
    sku = f"cup-{uuid4().hex[:8]}"
    shelf.add_variant(sku, stock=3)
    checkout_id = works.start(shelf.add_cart((sku, 2)), token=token)
    works.pump()
    return checkout_id


def make_object(gateway: Gateway, checkout_id: UUID, upto: str, minor: int = 500, token: str = "tok_ok") -> str:
    """Make an object that names this checkout, with keys that are not the engine's; returns its reference."""
    run, reference = uuid4().hex, None
    for verb in STEPS[: STEPS.index(upto) + 1]:
        call = Call(checkout_id, f"{run}:{verb}", Money(minor, "EUR"), token, reference)
        answer: Answer = getattr(gateway, verb)(call)
        if verb == "open":
            assert isinstance(answer, Succeeded)
            reference = answer.reference
    assert reference is not None
    return reference


def move(works: Works, checkout_id: UUID, verb: str, minor: int = 500) -> None:
    """Change the checkout's own object, as an operator in the provider's dashboard can."""
    call = Call(checkout_id, uuid4().hex, Money(minor, "EUR"), "tok_ok", own_reference(works.engine, checkout_id))
    assert isinstance(getattr(works.gateway, verb)(call), Succeeded)


def adopt(shelf: Shelf, checkout_id: UUID, reference: str) -> str:
    """Make the stored payment refer to another object; return its reference."""
    shelf.force("UPDATE payments SET reference = :r WHERE checkout_id = :id", r=reference, id=checkout_id)
    return reference


def own_reference(engine: Engine, checkout_id: UUID) -> str:
    """Return the object to which the stored payment refers."""
    with engine.connect() as connection:
        sql = text("SELECT reference FROM payments WHERE checkout_id = :id")
        reference: str = connection.execute(sql, {"id": checkout_id}).scalar_one()
    return reference


def bank_entries(shelf: Shelf, reference: str) -> list[tuple[str, int]]:
    """Return the bank's ledger of an object."""
    sql = "SELECT kind, amount_minor FROM sandbox.entries WHERE reference = :reference ORDER BY id"
    return [(kind, minor) for kind, minor in shelf.rows(sql, reference=reference)]


def repair_events(shelf: Shelf, checkout_id: UUID) -> list[tuple[str, str, str]]:
    """Return the events that repairs left: kind, amount, status."""
    sql = """
        SELECT kind, data->>'amount', data->>'status' FROM events
        WHERE checkout_id = :id AND kind IN ('payment.reconciled', 'payment.orphan_settled') ORDER BY id
    """
    return [(kind, amount, status) for kind, amount, status in shelf.rows(sql, id=checkout_id)]


def assert_clean(works: Works) -> None:
    """Assert that nothing is left to be found, by either audit, and that a second repair would change nothing."""
    assert compare(works).findings == ()
    with works.engine.connect() as connection:
        assert audit(connection, works.settings) == []
    before = take_snapshot(works.engine)
    assert repair(works, compare(works).findings) == []
    assert take_snapshot(works.engine) == before
