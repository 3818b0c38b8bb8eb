"""Retries a checkout that needs review: `checkout checkouts retry ID --reason "keys corrected"`.

Exit codes: 0 retried; 1 refused (no such checkout, or it needs no review); 2 the database cannot be reached.
"""

import typer

from scripts.environments.command_engine import Actor, CheckoutId, Reason, Wait, open_engine, wait_until_stable
from scripts.environments.command_transaction import refuse
from scripts.terminal.output import say


def main(checkout_id: CheckoutId, *, reason: Reason, actor: Actor, wait: Wait = 0) -> None:
    """Retry a checkout in `needs_review`, or the failed void or refund of an ended one."""
    with open_engine("retry") as engine:
        admitted = engine.service.retry(checkout_id, actor=actor, reason=reason)
        state = wait_until_stable(engine, checkout_id, wait)
    if not admitted.changed:
        refuse(f"Checkout {checkout_id} is {state} and needs no review: there is nothing to retry.")
    say(f"Checkout {checkout_id} goes on and is {state} now.")


if __name__ == "__main__":
    typer.run(main)
