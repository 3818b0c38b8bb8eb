"""Releases the cart of a checkout: everything is undone. `checkout checkouts release ID --reason "buyer called"`.

Exit codes: 0 released, or it had ended already; 1 refused (no such checkout, or its payment is being captured); 2 the
database cannot be reached.
"""

import typer

from scripts.environments.command_engine import Actor, CheckoutId, Reason, Wait, open_engine, wait_until_stable
from scripts.terminal.output import say


def main(checkout_id: CheckoutId, *, reason: Reason, actor: Actor, wait: Wait = 0) -> None:
    """Cancel a checkout for an operator, with a reason that stays in its events."""
    with open_engine("release") as engine:
        admitted = engine.service.release(checkout_id, actor=actor, reason=reason)
        state = wait_until_stable(engine, checkout_id, wait)
    if admitted.changed:
        say(f"Checkout {checkout_id} is released and is {state} now.")
    else:
        say(f"Checkout {checkout_id} is {state} already: nothing was changed.")


if __name__ == "__main__":
    typer.run(main)
