"""Every command of `checkout`, with its one-line help: the only place of this help.

Standard library only: `scripts/dev.py` reads this before an environment exists, and `checkout --help` imports no
command.
"""

from typing import Final, NamedTuple


class Command(NamedTuple):
    """One command: its one-line help and its `module:name`, None for a group of commands."""

    help: str
    target: str | None = None


#: In the order in which help shows them. The key of a command in a group has both names.
COMMANDS: Final = {
    "demo": Command(
        "Show the engine at work: a rush, declined cards, a killed worker; then the audit.", "scripts.demo:app"
    ),
    "up": Command("Run every process of the Procfile, with PostgreSQL and Valkey if none are set.", "scripts.up:main"),
    "monitor": Command("Show checkouts by state, queues, failures and durations.", "scripts.monitor:app"),
    "checkouts": Command("List, show, release and retry checkouts."),
    "checkouts list": Command("List checkouts by state, owner, cart and time.", "scripts.checkouts:main"),
    "checkouts show": Command("Show everything about one checkout, and what to do.", "scripts.show:main"),
    "checkouts release": Command("Release the cart of a checkout, with a reason.", "scripts.release:main"),
    "checkouts retry": Command("Retry a checkout that needs review, with a reason.", "scripts.retry:main"),
    "checkouts cleanup": Command("Expire now every checkout that has run out of time.", "scripts.cleanup:main"),
    "orders": Command("List, show, cancel, refund, restock and fulfill placed orders.", "scripts.orders:app"),
    "diagnose": Command("Show what is wrong, and the command for it.", "scripts.diagnose:main"),
    "audit": Command("Check every invariant against the database.", "scripts.audit:app"),
    "reconcile": Command("Audit, and compare with the payment provider.", "scripts.reconcile:main"),
    "partitions": Command("Make and detach the partitions of months.", "scripts.partitions:app"),
    "catalog": Command("Import products, stock, exchange rates and tax rates.", "scripts.catalog:app"),
    "promotions": Command("Create, list, show and end promotions.", "scripts.promotions:app"),
    "coupons": Command("Create, import, list and export coupons.", "scripts.coupons:app"),
    "keys": Command("Create, list and revoke API keys.", "scripts.keys:app"),
    "cells": Command("Route shops to their cells, and move them.", "scripts.cells:app"),
    "webhooks": Command("Manage webhook endpoints and their deliveries.", "scripts.webhooks:app"),
    "roles": Command("Create the least-privilege roles of the database.", "scripts.roles:app"),
    "replay": Command("Run a file of real invoices through the pipeline.", "scripts.replay:app"),
    "bench": Command("Measure throughput and latency beside stock dramatiq.", "scripts.bench:app"),
    "sizing": Command("Reckon the processes, cores and hosts that a peak needs.", "scripts.sizing:main"),
    "chaos": Command("Inject faults while buyers buy, and check that nothing is lost.", "scripts.chaos:main"),
    "cluster": Command("Run several hosts on one machine, and inject faults between them.", "scripts.cluster:app"),
    "contracts": Command("Write docs/openapi.json and docs/asyncapi.json from the code.", "scripts.contracts:main"),
    "security": Command("Look for vulnerable packages, and for secrets in the files.", "scripts.security:main"),
    "shop": Command("Serve an example shop that uses the HTTP API.", "scripts.shop:main"),
}
