"""The admin pages in a headless Chromium, with every process running."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from pipeline.security import Scope, create_key
from tests.acceptance.browser import find_chromium, open_browser
from tests.acceptance.edge_place import LONG_WAIT, Place, ask, empty, key, make_cart, open_place, wait_until

pytestmark = pytest.mark.acceptance

#: A page takes tenths of a second; a machine that is busy with other tests may take its time.
PATIENCE_MS: Final = 60_000
PHONE: Final = {"width": 390, "height": 780}
DESK: Final = {"width": 1200, "height": 800}
#: What axe-core knows of WCAG 2.2 A and AA, and its own good practices.
RULES: Final = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    find_chromium()
    with open_place(tmp_path_factory.mktemp("admin") / "fleet.log") as place:
        yield place
        place.assert_sound()


@pytest.fixture
def place(opened: Place) -> Place:
    """The shop, with forty cups."""
    empty(opened)
    opened.shelf.add_variant("cup", stock=40, price_minor=250)
    return opened


@pytest.fixture(scope="module")
def token(opened: Place) -> str:
    """Ada's API key."""
    with opened.engine.begin() as connection:
        return create_key(connection, owner="staff", name="ada", scopes=[Scope.ADMIN])[1]


@pytest.fixture(scope="module")
def browser(opened: Place) -> Iterator[Browser]:
    del opened
    with open_browser() as browser:
        yield browser


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(browser: Browser, place: Place, token: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser that has signed in, at the list."""
    context = browser.new_context(base_url=place.url, viewport=request.param)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    page.goto("/admin")
    check_page(page, "sign-in")
    page.get_by_label("API key").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Checkouts")
    yield page
    context.close()


def check_page(page: Page, name: str) -> None:
    """Assert that a page is accessible and fits its window; save a screenshot if SCREENSHOTS names a folder."""
    found = Axe().run(page, options=RULES)
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
    if folder := os.environ.get("SCREENSHOTS"):
        width = (page.viewport_size or PHONE)["width"]
        page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)


def start(place: Place) -> tuple[UUID, UUID]:
    """Start a checkout of one cup that waits for its payment; return it and its cart."""
    with place.client() as client:
        cart = make_cart("cup")
        assert client.put(f"/carts/{cart.pop('id')}", json=cart).status_code == 201
        [(cart_id,)] = place.shelf.rows("SELECT id FROM carts ORDER BY created_at DESC LIMIT 1")
        started = client.get("/checkout", params={"cart_id": str(cart_id)}, headers={"Prefer": f"wait={LONG_WAIT}"})
    return UUID(started.json()["checkout_id"]), cart_id


def buy(place: Place, token: str = "tok_ok", wait: int = LONG_WAIT, quantity: int = 1) -> UUID:
    """Buy cups at once."""
    with place.client() as client:
        cart = make_cart("cup", quantity)
        response = client.post("/checkout", json=ask(cart, token), headers=key(cart["id"], wait))
    return UUID(response.json()["checkout_id"])


def add_many(place: Place, count: int) -> None:
    """Insert so many cancelled checkouts as rows."""
    with place.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            text("""
                INSERT INTO checkouts (id, cart_id, owner, currency, state, straight_through, expires_at, ended_at)
                SELECT gen_random_uuid(), gen_random_uuid(), 'shop-1', 'EUR', 'cancelled', true, now(), now()
                FROM generate_series(1, :count)
            """),
            {"count": count},
        )


def read_event(place: Place, checkout_id: UUID, kind: str) -> dict[str, Any]:
    """Return the data of the one event of this kind."""
    sql = "SELECT data FROM events WHERE checkout_id = :id AND kind = :kind"
    [(data,)] = place.shelf.rows(sql, id=checkout_id, kind=kind)
    return dict(data)


def test_a_checkout_is_found_opened_and_released(page: Page, place: Place) -> None:
    # Given
    bought, (waiting, cart_id) = buy(place), start(place)
    declined = buy(place, "tok_declined")
    page.reload()
    rows = page.get_by_role("row")
    expect(rows).to_have_count(4)
    check_page(page, "list")
    # When filtered by state, then by cart
    page.get_by_label("State").select_option("Failed")
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("payment declined")
    expect(rows.nth(1)).to_contain_text(str(declined)[-12:])
    page.get_by_label("State").select_option("Any")
    page.get_by_label("Cart").fill(str(cart_id))
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(2)
    # When opened, and sent without a reason
    rows.nth(1).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Checkout {waiting}")
    check_page(page, "waiting")
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_label("Reason")).to_be_focused()
    assert place.shelf.stock("cup") == (39, 1)
    # When released
    page.get_by_label("Reason").fill("The buyer called.")
    page.get_by_role("button", name="Release").click()
    # Then
    expect(page.get_by_role("status")).to_have_text("It is released: everything is being undone.")
    place.wait_for_states({"completed": 1, "failed": 1, "cancelled": 1})
    assert place.shelf.stock("cup") == (39, 0)
    page.reload()
    happened = page.get_by_role("listitem").filter(has_text="checkout.released")
    expect(happened).to_contain_text("reason: The buyer called.")
    expect(happened).to_contain_text("actor: ada (key ")
    expect(page.get_by_role("button", name="Release")).to_have_count(0)
    assert read_event(place, waiting, "checkout.released")["reason"] == "The buyer called."
    check_page(page, "released")
    page.goto(f"/admin/checkout-locks/{bought}")
    expect(page.get_by_text("nothing is left to do")).to_be_visible()
    check_page(page, "completed")


def test_a_checkout_in_review_is_retried(page: Page, place: Place) -> None:
    # Given a bank that refuses the engine's access at the capture
    checkout_id = buy(place, "tok_capture_misconfigured", wait=0)

    def needs_review() -> bool:
        place.shelf.run("UPDATE checkouts SET due_at = now() WHERE due_reason = 'scheduled'")
        return place.shelf.rows("SELECT state FROM checkouts") == [("needs_review",)]

    wait_until(needs_review, "it needs review")
    page.goto("/admin/checkout-locks?state=needs_review")
    page.get_by_role("row").nth(1).get_by_role("link").click()
    expect(page.get_by_role("button", name="Release")).to_have_count(0)
    check_page(page, "review")
    # When the bank allows access again
    place.shelf.run("UPDATE payments SET token = 'tok_ok'")
    page.get_by_label("Reason").fill("Keys corrected.")
    page.get_by_role("button", name="Try again").click()
    # Then
    expect(page.get_by_role("status")).to_have_text("It is retried.")
    place.wait_for_states({"completed": 1})
    assert read_event(place, checkout_id, "checkout.retried")["reason"] == "Keys corrected."


def test_an_order_is_found_refunded_restocked_and_cancelled(page: Page, place: Place) -> None:
    # Given
    checkout_id = buy(place, quantity=2)
    [(number,)] = place.shelf.rows("SELECT number FROM orders WHERE checkout_id = :id", id=checkout_id)
    page.get_by_role("link", name="Orders").click()
    check_page(page, "orders")
    page.get_by_label("Number, reference").fill(str(checkout_id))
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name=str(number)).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Order {number}")
    check_page(page, "order")
    page.emulate_media(color_scheme="dark")
    check_page(page, "order-dark")
    page.emulate_media(color_scheme="light")

    def do(form: str, name: str, units: str | None = None) -> None:
        region = page.get_by_role("form", name=form)
        if units is not None:
            region.get_by_label("Units of line 1").fill(units)
        region.get_by_label("Reason").fill("It is chipped.")
        region.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("Nothing is done yet")).to_be_visible()
        check_page(page, form.split(maxsplit=1)[0].lower())
        page.get_by_role("button", name=name).click()

    # When, then
    do("Refund", "Refund 2.50 EUR", units="1")
    expect(page.get_by_role("status")).to_have_text("2.50 EUR was refunded.")
    do("Restock", "Restock", units="1")
    expect(page.get_by_role("status")).to_have_text("1 unit restocked.")
    assert place.shelf.stock("cup") == (39, 0)
    do("Cancel the order", "Cancel the order and refund 2.50 EUR")
    expect(page.get_by_role("status")).to_contain_text("The order was cancelled: 2.50 EUR refunded, 1 unit restocked.")
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    assert place.shelf.stock("cup") == (40, 0)
    check_page(page, "order-cancelled")
    page.get_by_role("link", name=str(checkout_id)).click()
    expect(page.get_by_role("link", name=str(number), exact=True)).to_be_visible()


def test_figures(page: Page, place: Place) -> None:
    buy(place)
    start(place)
    page.get_by_role("link", name="Statistics").click()
    expect(page.get_by_role("row", name=re.compile("^Completed 1$"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^Units held 1$"))).to_be_visible()
    check_page(page, "statistics")
    page.get_by_role("link", name="Waiting for payment").click()
    expect(page.get_by_role("row")).to_have_count(2)


def test_pages_of_the_list(page: Page, place: Place) -> None:
    add_many(place, 60)
    page.reload()
    expect(page.get_by_role("row")).to_have_count(51)
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("row")).to_have_count(11)
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("row")).to_have_count(51)
    page.goto("/admin/checkout-locks?state=expired")
    expect(page.get_by_role("status")).to_have_text("There is no such checkout.")
    check_page(page, "empty")
    page.goto("/admin/checkout-locks?cart=nonsense")
    expect(page.get_by_role("alert")).to_contain_text("correct it and send it again")
    check_page(page, "problem")
    empty(place)


def test_by_keyboard_alone(page: Page, place: Place) -> None:
    start(place)
    page.reload()

    def press_until(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
            if focused.startswith(name):
                return
        raise AssertionError(f"{name} cannot be reached by keyboard")

    press_until("Skip to the content")
    press_until("State")
    press_until("20")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Checkout ")
    press_until("Reason")
    page.keyboard.type("By keyboard.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("It is released")
    press_until("Sign out")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    place.wait_for_states({"cancelled": 1})


def test_no_other_key_comes_in(browser: Browser, place: Place) -> None:
    with place.engine.begin() as connection:
        _, other = create_key(connection, owner="shop-1", name="shop", scopes=[Scope.CHECKOUT])
    page = browser.new_page(base_url=place.url)
    page.goto("/admin/checkout-locks/statistics")
    page.get_by_label("API key").fill(other)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("This is no valid API key with the scope admin")
    check_page(page, "refused")
    page.close()
