"""Every command of `checkout`, with its one-line help: the only place where this help stands.

Standard library only: `scripts/dev.py` reads this before an environment exists, and `checkout --help` without importing
any command.
"""

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One command: its one-line help, and where it is, as `module:name`; a group of commands is nowhere."""

    help: str
    target: str | None = None


#: In the order in which help shows them. A command of a group stands under the names of both.
COMMANDS: Final = {
    "demo": Entry(
        "Show the engine at work: a rush, declined cards, a killed worker; then the audit.", "scripts.demo:app"
    ),
    "up": Entry("Run every process of the Procfile, with PostgreSQL and Valkey if none are set.", "scripts.up:main"),
    "monitor": Entry("Show checkouts by state, queues, failures and durations.", "scripts.monitor:app"),
    "checkouts": Entry("List, show, release and retry checkouts."),
    "checkouts list": Entry("List checkouts by state, owner, cart and time.", "scripts.checkouts:main"),
    "checkouts show": Entry("Show everything about one checkout, and what to do.", "scripts.show:main"),
    "checkouts release": Entry("Release the cart of a checkout, with a reason.", "scripts.release:main"),
    "checkouts retry": Entry("Retry a checkout that needs review, with a reason.", "scripts.retry:main"),
    "checkouts cleanup": Entry("Expire now every checkout that has run out of time.", "scripts.cleanup:main"),
    "diagnose": Entry("Show what is wrong, and the command that helps.", "scripts.diagnose:main"),
    "audit": Entry("Check every invariant against the database.", "scripts.audit:app"),
    "reconcile": Entry("Audit, and compare with the payment provider.", "scripts.reconcile:main"),
    "catalog": Entry("Import products, stock, exchange rates and tax rates.", "scripts.catalog:app"),
    "keys": Entry("Create, list and revoke API keys.", "scripts.keys:app"),
    "webhooks": Entry("Manage webhook endpoints and their deliveries.", "scripts.webhooks:app"),
    "roles": Entry("Create the least-privilege roles of the database.", "scripts.roles:app"),
    "replay": Entry("Run a file of real invoices through the pipeline.", "scripts.replay:app"),
    "bench": Entry("Measure throughput and latency beside stock dramatiq.", "scripts.bench:app"),
    "chaos": Entry("Inject faults while buyers buy, and check that nothing is lost.", "scripts.chaos:main"),
    "contracts": Entry("Write docs/openapi.json and docs/asyncapi.json from the code.", "scripts.contracts:main"),
    "security": Entry("Look for vulnerable packages, and for secrets in the files.", "scripts.security:main"),
    "shop": Entry("Serve an example shop that uses the HTTP API.", "scripts.shop:main"),
}
