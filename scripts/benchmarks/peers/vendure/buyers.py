"""Buyers of a Vendure shop, in a process of their own, as those of `scripts/benchmarks/buyers.py`.

A purchase has six calls: the first four fill an order, the last two complete it. Each buyer is a guest with a session,
an e-mail address and an order of its own for each purchase.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final

from scripts.benchmarks.buyers import Connection, Plan, Report, run_closed
from scripts.terminal.output import say_json

RESULT: Final = "{ __typename ... on Order { state } ... on ErrorResult { errorCode } }"
#: The shop has one shipping method, and one payment method, whose code is made of its name.
FILLING: Final = (
    "mutation ($id: ID!) { result: addItemToOrder(productVariantId: $id, quantity: 1) " + RESULT + " }",
    "mutation ($email: String!) { result: setCustomerForOrder("
    'input: { firstName: "Ada", lastName: "King", emailAddress: $email }) ' + RESULT + " }",
    'mutation { result: setOrderShippingAddress(input: { fullName: "Ada", streetLine1: "12 St James Square",'
    ' city: "London", countryCode: "GB" }) ' + RESULT + " }",
    'mutation { result: setOrderShippingMethod(shippingMethodId: ["1"]) ' + RESULT + " }",
)
COMPLETING: Final = (
    'mutation { result: transitionOrderToState(state: "ArrangingPayment") '
    "{ __typename ... on Order { state } ... on OrderStateTransitionError { errorCode } } }",
    'mutation { result: addPaymentToOrder(input: { method: "instant", metadata: {} }) ' + RESULT + " }",
)
PAID: Final = "PaymentSettled"


class Calls(StrEnum):
    """What is measured: the whole flow, or one half of it."""

    FLOW = "flow"
    FILLING = "filling"
    COMPLETING = "completing"


QUERIES: Final = {Calls.FLOW: FILLING + COMPLETING, Calls.FILLING: FILLING, Calls.COMPLETING: COMPLETING}


@dataclass(frozen=True, slots=True)
class VendurePlan(Plan):
    """Which calls are made; those that complete continue the sessions of orders that are filled."""

    calls: Calls = Calls.FLOW
    tokens: list[str] = field(default_factory=list)


@dataclass(slots=True)
class VendureReport(Report):
    """With the sessions of the orders."""

    tokens: list[str] = field(default_factory=list)


async def buy(connection: Connection, number: int, *, plan: VendurePlan, report: VendureReport) -> None:
    """Make the calls of one purchase, and report it."""
    connection.token = plan.tokens[number] if plan.tokens else ""
    variables = {"id": str(1 + number * 7919 % plan.variants), "email": f"{time.time_ns()}-{number}@example.com"}
    result: dict[str, Any] = {}
    began = time.perf_counter()
    for query in QUERIES[Calls(plan.calls)]:
        status, answer = await connection.ask("POST", "/shop-api", {"query": query, "variables": variables})
        result = (answer.get("data") or {}).get("result") or {}
        if result.get("__typename") != "Order":
            report.others[f"{status} {result.get('errorCode') or answer}"] += 1
            return
        connection.token = connection.head.get("vendure-auth-token", connection.token)
    if plan.calls != Calls.FILLING and result["state"] != PAID:
        report.others[result["state"]] += 1
        return
    report.milliseconds.append((time.perf_counter() - began) * 1000)
    report.tokens.append(connection.token)


async def run(plan: VendurePlan) -> VendureReport:
    """Run the plan."""
    report = VendureReport()
    began = time.perf_counter()
    await run_closed(plan, partial(buy, plan=plan, report=report))
    report.seconds = time.perf_counter() - began
    return report


if __name__ == "__main__":
    say_json(asdict(asyncio.run(run(VendurePlan(**json.load(sys.stdin))))))
