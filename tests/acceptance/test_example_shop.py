"""The example shop in a headless Chromium, with every process running."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from scripts.environments.supervisor import build_env
from scripts.local_servers.embedded import ROOT
from tests.acceptance.browser import find_chromium, open_browser
from tests.acceptance.edge_place import Place, open_place

pytestmark = pytest.mark.acceptance

#: A page takes tenths of a second; a machine that is busy with other tests may take its time.
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    find_chromium()
    with open_place(tmp_path_factory.mktemp("shop") / "fleet.log") as opened:
        yield opened
        opened.assert_sound()


@pytest.fixture(scope="module")
def shop(place: Place) -> Iterator[str]:
    """The address of the running shop."""
    command = [sys.executable, "-m", "scripts.shop", "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, env=build_env(place.settings), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address is not None, line
        yield address[0]
        process.terminate()


@pytest.fixture(scope="module")
def browser(place: Place) -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, shop: str, tmp_path: Path) -> Iterator[Page]:
    """A buyer's browser on the shop's first page."""
    context = browser.new_context(base_url=shop, viewport={"width": 420, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    page.goto("/")
    yield page
    context.close()


def choose(page: Page, *titles: str) -> None:
    """Put products into the cart and go to the checkout."""
    for title in titles:
        page.get_by_role("button", name=f"Add {title}", exact=True).click()
    page.get_by_role("link", name="Check out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your order")


def pay(page: Page, card: str = "A good card") -> None:
    """Pay with this card."""
    page.get_by_label(card).check()
    page.get_by_role("button", name=re.compile("^Pay")).click()


def read_order(page: Page) -> int:
    """Return the number of the order that the page shows."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    return int(page.locator("#number").inner_text())


def facts(place: Place, number: int) -> tuple[Any, ...]:
    """Return total, payment attempts and charges of an order."""
    [row] = place.shelf.rows(
        "SELECT o.total_minor, p.attempts, (SELECT count(*) FROM sandbox.entries e"
        " JOIN sandbox.payments s USING (reference) WHERE s.checkout_id = o.checkout_id AND e.kind = 'capture')"
        " FROM orders o JOIN payments p USING (checkout_id) WHERE o.number = :number",
        number=number,
    )
    return row


def test_a_purchase(page: Page, place: Place) -> None:
    # When
    choose(page, "Teapot", "Cup", "Cup")
    expect(page.locator("#total")).to_have_text("38.00 EUR")
    pay(page)
    # Then
    number = read_order(page)
    assert facts(place, number) == (3800, 1, 1)
    # When the page is refreshed
    page.reload()
    # Then it is the same order, and the next purchase is another
    assert read_order(page) == number
    page.get_by_role("button", name="Buy something else").click()
    choose(page, "Cup")
    pay(page)
    assert read_order(page) > number


def test_a_declined_card_and_a_second_attempt(page: Page, place: Place) -> None:
    choose(page, "Cup")
    pay(page, "A card that is declined")
    expect(page.get_by_role("alert")).to_have_text(
        "The payment was declined (card_declined): try another payment method."
    )
    pay(page)
    assert facts(place, read_order(page)) == (450, 2, 1)


def test_a_cancelled_one(page: Page, place: Place) -> None:
    before = place.shelf.stock("honey")
    choose(page, "Honey, 250 g")
    assert place.shelf.stock("honey") == (before[0], before[1] + 1)
    # A cart that is being paid cannot be changed
    page.goto("/")
    page.get_by_role("button", name="Add Cup", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("is locked by checkout")
    page.goto("/checkout")
    # When
    page.get_by_role("button", name="Cancel").click()
    # Then
    expect(page.get_by_role("status")).to_have_text("Cancelled: nothing was charged, and your cart is open again.")
    assert place.shelf.stock("honey") == before
    page.get_by_role("button", name="Add Cup", exact=True).click()
    expect(page.get_by_role("listitem")).to_have_text(["1 x honey", "1 x cup"])


def test_an_order_that_the_buyer_cancels(page: Page, place: Place) -> None:
    before = place.shelf.stock("honey")
    choose(page, "Honey, 250 g")
    pay(page)
    number = read_order(page)
    # When asked once more, and kept
    page.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_text(f"Order {number}: 4.50 EUR goes back")).to_be_visible()
    page.get_by_role("link", name="No, keep it").click()
    assert read_order(page) == number
    # When cancelled, by a double click
    page.get_by_role("button", name="Cancel the order").click()
    page.get_by_role("button", name="Yes, cancel it").dblclick()
    # Then
    expect(page.get_by_role("heading", level=1)).to_have_text("Your order is cancelled")
    expect(page.get_by_role("status")).to_have_text(f"Order {number} is cancelled: 4.50 EUR goes back to you.")
    expect(page.get_by_role("button", name="Cancel the order")).to_have_count(0)
    assert place.shelf.stock("honey") == before
    refunds = place.shelf.rows(
        "SELECT s.refunded_minor, o.state FROM orders o JOIN sandbox.payments s USING (checkout_id)"
        " WHERE o.number = :number",
        number=number,
    )
    assert refunds == [(450, "cancelled")]


def test_a_payment_that_the_buyer_approves_at_the_bank(page: Page, place: Place) -> None:
    choose(page, "Cup")
    pay(page, "A card with 3-D Secure")
    page.get_by_role("link", name="Go to your bank").click()
    page.get_by_role("button", name="Approve the payment").click()
    assert facts(place, read_order(page)) == (450, 1, 1)


def test_a_payment_that_the_buyer_refuses_at_the_bank(page: Page, place: Place) -> None:
    choose(page, "Cup")
    pay(page, "A card with 3-D Secure")
    page.get_by_role("link", name="Go to your bank").click()
    page.get_by_role("button", name="Refuse it").click()
    expect(page.get_by_role("alert")).to_contain_text("The payment was declined (authentication_refused)")
    pay(page)
    assert facts(place, read_order(page)) == (450, 2, 1)


def test_a_double_click_is_one_payment(page: Page, place: Place) -> None:
    choose(page, "Cup")
    page.get_by_role("button", name=re.compile("^Pay")).dblclick()
    assert facts(place, read_order(page)) == (450, 1, 1)


def test_a_variant_that_is_not_sold_any_more(page: Page, place: Place) -> None:
    place.shelf.run("UPDATE variants SET active = false WHERE sku = 'tea'")
    page.get_by_role("button", name="Add Tea, 100 g").click()
    page.get_by_role("link", name="Check out").click()
    expect(page.get_by_role("alert")).to_contain_text('names "tea", which is not sold any more: remove the line.')


def test_by_keyboard_alone(page: Page, place: Place) -> None:
    def press_until(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent.trim()")
            if focused.startswith(name):
                page.keyboard.press("Enter")
                return
        raise AssertionError(f"{name} cannot be reached by keyboard")

    press_until("Add Cup")
    expect(page.get_by_role("listitem")).to_have_text(["1 x cup"])
    press_until("Check out")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your order")
    press_until("Pay")
    assert facts(place, read_order(page)) == (450, 1, 1)


def test_another_sites_form_is_refused(place: Place, shop: str) -> None:
    response = requests.post(f"{shop}cart", data={"sku": "cup"}, headers={"Origin": "https://evil.example"}, timeout=10)
    assert (response.status_code, "sent from another site" in response.text) == (403, True)
    assert requests.get(f"{shop}nowhere", timeout=10).status_code == 404
