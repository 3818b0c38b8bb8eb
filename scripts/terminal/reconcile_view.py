"""The output of the comparison with the provider, for a terminal and as JSON."""

from typing import Any, Final

from rich.console import Console
from rich.text import Text

from models.money import Money
from pipeline.reconciliation import Comparison, Finding, FindingKind, Repair
from pipeline.reconciliation.explanations import MEANINGS, sentence
from scripts.environments.reconcile_run import ProviderAudit
from scripts.terminal.output import plain

#: Rows of one kind: on a screen enough to see a pattern, in JSON as many as for a violated invariant.
SHOWN_ROWS: Final = 10
DESCRIBED_ROWS: Final = 100


def show_repair(console: Console, repair: Repair) -> None:
    """Print one line: what was done, for which checkout, the amount, and the reason if it failed."""
    finding = repair.finding
    did = repair.did if repair.amount is None else f"{repair.did}: {repair.amount}"
    where = f"checkout {finding.checkout_id}, {finding.reference}, {finding.kind}"
    if repair.reason is None:
        console.print(plain(f"Repaired ({where}): {did}.", "green"))
    else:
        console.print(plain(f"Not repaired ({where}): {did}, {_end(repair.reason)}", "yellow"))


def show_comparison(console: Console, audit: ProviderAudit, comparison: Comparison) -> None:
    """Print a line for each kind of finding, and the first rows of each kind that was found."""
    width = max(len(kind) for kind in FindingKind)
    for kind in FindingKind:
        found = [each for each in comparison.findings if each.kind is kind]
        is_note = all(each.is_note for each in found)
        verdict, style = ("ok", "green") if not found else ("note", "yellow") if is_note else ("DIFFERS", "bold red")
        console.print(
            Text.assemble(
                (f"{verdict:<8}", style), (f"{kind:<{width}}  ", "bold"), f"{len(found):>5}  ", (MEANINGS[kind], "dim")
            )
        )
        for finding in found[:SHOWN_ROWS]:
            where = f"checkout={finding.checkout_id}  reference={finding.reference}"
            console.print(plain(f"        {where}  {sentence(finding)}", "yellow" if is_note else "red"))
        if len(found) > SHOWN_ROWS:
            console.print(plain(f"        and {len(found) - SHOWN_ROWS} more", "yellow" if is_note else "red"))
    count = len(comparison.differences)
    result = "all agree" if not count else "1 difference" if count == 1 else f"{count} differences"
    compared = f"{comparison.objects} objects at {audit.gateway}, {comparison.payments} payments of this database"
    since = f"since {audit.since:%Y-%m-%d %H:%M} UTC"
    console.print(plain(f"{compared}, {since}: {result}.", "bold red" if count else "bold"))


def describe_comparison(audit: ProviderAudit) -> dict[str, Any]:
    """Return the comparison as one JSON object; with an error instead of findings if the provider did not answer."""
    facts: dict[str, Any] = {
        "name": audit.gateway,
        "since": audit.since.isoformat(timespec="seconds"),
        "repairs": [_describe_repair(each) for each in audit.repairs],
    }
    if audit.comparison is None:
        return {**facts, "error": audit.error}
    findings = audit.comparison.findings
    by_kind = {kind: [each for each in findings if each.kind is kind] for kind in FindingKind}
    return {
        **facts,
        "objects": audit.comparison.objects,
        "payments": audit.comparison.payments,
        "differences": len(audit.comparison.differences),
        "findings": [
            {
                "kind": kind,
                "meaning": MEANINGS[kind],
                "count": len(found),
                "rows": [_describe_finding(each) for each in found[:DESCRIBED_ROWS]],
            }
            for kind, found in by_kind.items()
        ],
    }


def _describe_finding(finding: Finding) -> dict[str, Any]:
    local, held = finding.local, finding.held
    return {
        "checkout_id": str(finding.checkout_id),
        "state": None if local is None else local.state,
        "reference": finding.reference,
        "stored": None if local is None else local.status,
        "provider": None if held is None else held.status,
        "order": _describe_money(finding.due),
        "kept": _describe_money(finding.kept),
        "authorized": _describe_money(finding.authorized),
        "amount": None if finding.difference is None else _describe_money(finding.difference.amount),
        "sentence": sentence(finding),
        "has_rule": finding.remedy is not None,
    }


def _describe_repair(repair: Repair) -> dict[str, Any]:
    return {
        "kind": repair.finding.kind,
        "checkout_id": str(repair.finding.checkout_id),
        "reference": repair.finding.reference,
        "did": repair.did,
        "amount": _describe_money(repair.amount),
        "settled": repair.is_settled,
        "reason": repair.reason,
    }


def _describe_money(money: Money | None) -> dict[str, Any] | None:
    return None if money is None else {"minor": money.minor, "currency": money.currency}


def _end(reason: str) -> str:
    return reason if reason.endswith(".") else f"{reason}."
