"""Buyers over HTTP, in a process of their own, which the bench starts.

It reads a plan from its standard input, as JSON, and prints the durations of all purchases. Each buyer has a connection
that is kept. The requests are written by hand: a client library would take the processor from the engine.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final
from uuid import uuid4

from scripts.benchmarks.workload import TOKEN
from scripts.terminal.output import say_json

ADDRESS: Final = {"name": "Ada", "line1": "12 St James Square", "city": "London", "country": "GB"}
WAIT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """What is bought, and how: by so many buyers in a closed loop, or so many purchases a second in an open one.

    In two steps a buyer starts the checkout of a cart, sees the total, and pays it.
    """

    port: int
    api_key: str
    purchases: int
    variants: int
    buyers: int = 1
    per_second: float | None = None
    steps: int = 1


@dataclass(slots=True)
class Report:
    """The durations of the purchases in milliseconds, and how many ended otherwise, by what was answered."""

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


class Connection:
    """One connection to the HTTP process; `token` is its authorization, which may change."""

    def __init__(self, plan: Plan) -> None:
        """Connect at the first request."""
        self.token = plan.api_key
        self.head: dict[str, str] = {}
        self._port = plan.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Send a request; return the status and the body of its response, whose headers are in `head`."""
        # The HTTP process closes a connection that was idle for some seconds.
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"Authorization: Bearer {self.token}"] if self.token else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Prefer: wait={WAIT_SECONDS}", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        writer.write("\r\n".join((*lines, "", "")).encode() + content)
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.head = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        content = await reader.readexactly(int(self.head["content-length"]))
        return int(status.split()[1]), json.loads(content)

    def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()


#: Makes the purchase of this number.
Buy = Callable[[Connection, int], Awaitable[None]]


async def buy(connection: Connection, number: int, *, plan: Plan, report: Report) -> None:
    """Make one purchase, and report it."""
    sku = f"bench-{1 + number * 7919 % plan.variants}"
    cart = {"id": str(uuid4()), "currency": "EUR", "lines": [{"sku": sku, "quantity": 1}], "shipping_address": ADDRESS}
    request: dict[str, Any] = {"payment": {"token": TOKEN}}
    began = time.perf_counter()
    if plan.steps == 1:
        request["cart"] = cart
    else:
        await connection.ask("PUT", f"/carts/{cart['id']}", {name: cart[name] for name in cart if name != "id"})
        _, started = await connection.ask("GET", f"/checkout?cart_id={cart['id']}")
        request["checkout_id"] = started.get("checkout_id")
        request["expected_total_minor"] = started.get("quote", {}).get("total_minor")
    status, answer = await connection.ask("POST", "/checkout", request, Idempotency_Key=str(uuid4()))
    if answer.get("state") == "completed":
        report.milliseconds.append((time.perf_counter() - began) * 1000)
    else:
        report.others[f"{status} {answer.get('code', answer.get('state'))}"] += 1


async def run_closed(plan: Plan, buy_one: Buy) -> None:
    """Let every buyer buy again as soon as the last purchase is answered."""
    numbers = iter(range(plan.purchases))

    async def keep_buying() -> None:
        connection = Connection(plan)
        for number in numbers:
            await buy_one(connection, number)
        connection.close()

    await asyncio.gather(*(keep_buying() for _ in range(plan.buyers)))


async def run_open(plan: Plan, per_second: float, buy_one: Buy) -> None:
    """Begin purchases at a steady pace, whatever became of those before."""
    idle: list[Connection] = []

    async def buy_soon(number: int) -> None:
        connection = idle.pop() if idle else Connection(plan)
        await buy_one(connection, number)
        idle.append(connection)

    began = time.perf_counter()
    tasks = []
    for number in range(plan.purchases):
        await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
        tasks.append(asyncio.create_task(buy_soon(number)))
    await asyncio.gather(*tasks)
    for each in idle:
        each.close()


async def run(plan: Plan) -> Report:
    """Run the plan."""
    report = Report()
    buy_one = partial(buy, plan=plan, report=report)
    began = time.perf_counter()
    await (run_closed(plan, buy_one) if plan.per_second is None else run_open(plan, plan.per_second, buy_one))
    report.seconds = time.perf_counter() - began
    return report


if __name__ == "__main__":
    say_json(asdict(asyncio.run(run(Plan(**json.load(sys.stdin))))))
