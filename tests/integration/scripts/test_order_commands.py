"""`checkout orders` as an operator types it, on real servers with a worker that does what is asked for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from pipeline.errors import Code
from pipeline.orders.changes import Reason, load_changes
from pipeline.orders.completion import review_changes
from pipeline.settings import Settings
from scripts import orders
from tests.integration.workers.web.stage import work
from tests.support.harness import Shelf, Works

WHY = ("--reason", "it is chipped", "--actor", "ada")


@pytest.fixture
def counter(works: Works, shelf: Shelf, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Works:
    """A shop that sells cups for 4.50, found by the commands; no worker runs."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_GATEWAY", settings.gateway)
    shelf.add_variant("cup", stock=9, price_minor=450)
    return works


@pytest.fixture
def shop(counter: Works, settings: Settings) -> Iterator[Works]:
    """The same, with a worker."""
    with work(settings):
        yield counter


@dataclass
class Shown:
    """What a command has shown; the worker on threads of this process logs into the same stream."""

    result: Result

    @property
    def exit_code(self) -> int:
        return self.result.exit_code

    @property
    def stdout(self) -> str:
        lines = self.result.stdout.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("event='"))

    @property
    def stderr(self) -> str:
        return self.result.stderr


def run(*arguments: object) -> Shown:
    return Shown(CliRunner().invoke(orders.app, [str(each) for each in arguments]))


def buy(works: Works, shelf: Shelf, **others: Any) -> tuple[int, UUID]:
    """Buy two cups; return the number and the id of the order."""
    checkout_id = works.start(
        shelf.add_cart(("cup", 2), customer=others.pop("customer", None)), token="tok_ok", **others
    )
    works.pump()
    row = shelf.row("SELECT number, id FROM orders WHERE checkout_id = :id", id=checkout_id)
    return row.number, row.id


def test_one_of_two_cups_comes_back(shop: Works, shelf: Shelf) -> None:
    number, id_ = buy(shop, shelf)

    draft = run("refund", number, "--line", "1:1", *WHY, "--dry-run")
    assert (draft.exit_code, draft.stdout.splitlines()) == (
        0,
        ["It would refund 4.50 EUR.", "refund\t1\tcup\t1\t4.50 EUR\t-"],
    )
    assert shelf.rows("SELECT FROM order_changes") == []

    refunded = run("refund", number, "--line", "1:1", *WHY, "--key", "return-1")
    again = run("refund", id_, "--line", "1:1", *WHY, "--key", "return-1")
    restocked = run("restock", number, "--line", "1:1@main", *WHY)

    assert (refunded.exit_code, refunded.stdout) == (0, "4.50 EUR was refunded.\n")
    assert (again.exit_code, again.stdout, again.stderr) == (0, refunded.stdout, refunded.stderr)
    assert (restocked.exit_code, restocked.stdout) == (0, "1 unit restocked.\n")
    assert shelf.rows("SELECT refunded_minor FROM sandbox.payments") == [(450,)]
    assert shelf.stock("cup") == (8, 0)
    assert shelf.rows("SELECT actor, reason FROM order_changes") == [("operator:ada", "it is chipped")] * 2


def test_a_cancel_gives_back_the_rest_and_what_follows_is_refused(shop: Works, shelf: Shelf) -> None:
    number, _ = buy(shop, shelf)
    assert run("refund", number, "--amount", "1.25", *WHY).stdout == "1.25 EUR was refunded.\n"

    done = run("cancel", number, *WHY, "--json")
    late = run("refund", number, "--all", *WHY)

    found = json.loads(done.stdout)
    assert (done.exit_code, found["state"], found["amount_minor"]) == (0, "done", 775)
    assert (late.exit_code, late.stdout) == (1, "")
    assert late.stderr == f"Order {number} is cancelled: nothing of it can be changed any more.\n"
    assert shelf.stock("cup") == (9, 0)


def test_a_cancel_leaves_the_units_out_of_the_stock_if_it_is_told_so(shop: Works, shelf: Shelf) -> None:
    number, _ = buy(shop, shelf)
    done = run("cancel", number, "--no-restock", *WHY)
    assert (done.exit_code, done.stdout) == (0, "The order was cancelled: 9.00 EUR refunded, 0 units restocked.\n")
    assert shelf.stock("cup") == (7, 0)


def test_what_was_sent_is_told_and_then_not_cancelled(shop: Works, shelf: Shelf) -> None:
    number, _ = buy(shop, shelf)
    sent = run("fulfill", number, "--line", "1:2", "--carrier", "DHL", "--tracking", "00340", "--actor", "ada")
    refused = run("cancel", number, *WHY)
    assert (sent.exit_code, sent.stdout) == (0, "2 units fulfilled.\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"Of order {number}, 2 units were fulfilled already: refund what comes back, and restock it.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("refund", "1", "--all"), "Missing option '--reason'"),
        (("refund", "1", "--all", "--reason", " "), "say why"),
        (("refund", "1", "--all", "--reason", "x", "--actor", "a" * 201), "name who does it, in 1 to 200 characters"),
        (("refund", "1", "--all", "--reason", "x", "--actor", " "), "name who does it"),
        (("show", "9" * 5000), "neither the number nor the id"),
        (("list", "--find", "1", "--number", "1"), "leave those options out"),
        (("refund", "x", "--all", *WHY), "neither the number nor the id"),
        (("restock", "1", *WHY), "Missing option '--line'"),
        (("settle", "1", "--as", "done", *WHY), "a valid UUID"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...], words: str) -> None:
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert words in " ".join(refused.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("refund", "--line", "1"), "name the line and its units, such as 1:2"),
        (("refund", "--line", "1:2@main"), "name the line and its units, such as 1:2"),
        (("refund", "--amount", "4.505"), "is not a whole number of minor units of EUR"),
        (("refund", "--amount", "0"), "name an amount above zero"),
        (("refund", "--amount", "four"), "is not an amount"),
        (("refund", "--all", "--amount", "1"), "name one of them"),
        (("refund",), "name one of them"),
        (("restock", "--line", "1:0"), "--line '1:0'"),
    ],
)
def test_a_wrong_amount_or_line_changes_nothing(
    shop: Works, shelf: Shelf, arguments: tuple[str, ...], words: str
) -> None:
    number, _ = buy(shop, shelf)
    command, *options = arguments
    refused = run(command, number, *options, *WHY)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert words in " ".join(refused.stderr.replace("│", " ").split())
    assert shelf.rows("SELECT FROM order_changes") == []


def test_orders_are_found_and_shown(shop: Works, shelf: Shelf) -> None:
    first, first_id = buy(shop, shelf, reference="4711", customer="ada@example.com")
    second, second_id = buy(shop, shelf)
    run("refund", first, "--line", "1:1", *WHY)
    [payment, _] = shelf.rows("SELECT reference FROM payments ORDER BY created_at")
    [(refund,)] = shelf.rows("SELECT reference FROM refunds")
    [(change,)] = shelf.rows("SELECT id FROM order_changes")
    [(cart, checkout)] = shelf.rows("SELECT cart_id, checkout_id FROM orders WHERE number = :n", n=first)

    def find(*options: object) -> list[str]:
        return [line.split("\t")[0] for line in run("list", *options).stdout.splitlines()]

    assert find() == [str(second), str(first)]
    for words in (first, "4711", "ada@example.com", payment[0], refund, change, cart, checkout, first_id):
        assert find("--find", words) == [str(first)], words
    assert (find("--find", uuid4()), find("--find", "nothing")) == ([], [])
    assert find("--reference", "4711") == find("--customer", "ada@example.com") == [str(first)]
    assert find("--number", second) == [str(second)]
    assert (find("--state", "cancelled"), find("--since", "2100-01-01")) == ([], [])
    page = run("list", "--limit", 1)
    assert page.stderr.startswith("There are more: --after ")
    assert find("--after", page.stderr.split()[-1]) == [str(first)]

    shown = run("show", first)
    assert shown.exit_code == 0
    for part in (f"order\t{first}", "refundable\t4.50 EUR", "1\tcup\t", "4.50 EUR was refunded.", "order.refunded"):
        assert part in shown.stdout, part
    whole = json.loads(run("show", second_id, "--json").stdout)
    assert (whole["number"], whole["refundable_minor"]) == (second, 900)
    unknown = run("show", 99)
    assert (unknown.exit_code, unknown.stderr) == (1, "There is no order 99 of this owner: check the id.\n")


def test_a_change_that_no_worker_does_is_reported_as_such(counter: Works, shelf: Shelf) -> None:
    number, _ = buy(counter, shelf)
    asked = run("refund", number, "--all", *WHY, "--wait", "0")
    assert (asked.exit_code, asked.stdout) == (3, "The refund of 9.00 EUR is in progress.\n")
    [(change,)] = shelf.rows("SELECT id FROM order_changes")
    refused = run("settle", change, "--as", "done", *WHY)
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"Change {change} is requested, and needs no review: leave it as it is.\n",
    )


@pytest.mark.parametrize(
    ("resolution", "code", "words"),
    [
        ("done", 0, "9.00 EUR was refunded.\n"),
        (
            "failed",
            0,
            "The refund of 9.00 EUR failed. Whether 9.00 EUR was refunded is unknown (no answer): look at the provider,"
            " then settle the change.\n",
        ),
        ("retry", 3, "The refund of 9.00 EUR is in progress.\n"),
    ],
)
def test_a_change_in_review_is_settled(counter: Works, shelf: Shelf, resolution: str, code: int, words: str) -> None:
    number, order_id = buy(counter, shelf)
    run("refund", number, "--all", *WHY, "--wait", "0")
    with counter.engine.begin() as connection:
        ids = list(connection.execute(text("SELECT id FROM order_changes")).scalars())
        [change] = load_changes(connection, [order_id], ids)[order_id]
        why = Reason(Code.REFUND_UNRESOLVED, {"amount": "9.00 EUR", "error": "no answer"})
        review_changes(connection, [(change, why)])
    assert "needs review. Whether 9.00 EUR was refunded is unknown" in run("show", number).stdout

    done = run("settle", change.id, "--as", resolution, "--reason", "the bank says so", "--actor", "ada", "--wait", "0")

    assert (done.exit_code, done.stdout) == (code, words)
    kind = "order.change_retried" if resolution == "retry" else "order.refunded" if code == 0 else ""
    kind = "order.refund_failed" if resolution == "failed" else kind
    data = shelf.row("SELECT data FROM events WHERE kind = :kind", kind=kind).data
    assert (data["settled_by"], data["settled_reason"]) == ("operator:ada", "the bank says so")


def test_text_from_outside_cannot_control_the_terminal(shop: Works, shelf: Shelf) -> None:
    number, _ = buy(shop, shelf, reference="\x1b[31mred\u202e")
    for shown in (run("list"), run("show", number), run("list", "--json"), run("show", number, "--json")):
        assert shown.exit_code == 0
        assert not set(shown.stdout) & {"\x1b", "\u202e"}
