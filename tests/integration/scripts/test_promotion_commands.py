"""`checkout promotions` and `checkout coupons` as an operator types them, and carts that use what they made."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipeline.settings import Settings
from scripts import coupons, promotions
from tests.support.harness import Shelf, Works

PERCENT = ("--title", "Fifteen off", "--kind", "percentage", "--percent", "15")


@pytest.fixture
def shop(works: Works, shelf: Shelf, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Works:
    """A shop that sells cups for 10.00, found by the commands."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("CHECKOUT_GATEWAY", settings.gateway)
    shelf.add_variant("cup", stock=9, price_minor=1000)
    return works


def promote(*arguments: object) -> Result:
    return CliRunner().invoke(promotions.app, [str(each) for each in arguments])


def hand_out(*arguments: object) -> Result:
    return CliRunner().invoke(coupons.app, [str(each) for each in arguments])


def make(*arguments: str) -> int:
    """Create a promotion and return its id."""
    made = promote("create", *arguments, "--json")
    assert made.exit_code == 0, made.output
    return int(json.loads(made.stdout)["id"])


def discount(works: Works, shelf: Shelf, *codes: str, **others: Any) -> int | str:
    """Start a checkout of a cup; return its discount, or the code that refuses it."""
    checkout_id = works.start(shelf.add_cart(("cup", 1), coupon_codes=list(codes), **others))
    works.pump()
    failure = works.status(checkout_id).failure
    if failure is not None:
        return str(failure.code)
    found = int(shelf.row("SELECT discount_minor FROM price_locks WHERE checkout_id = :id", id=checkout_id)[0])
    works.service.cancel(checkout_id, "shop-1")
    works.pump()
    return found


def test_an_automatic_promotion_applies_until_it_is_ended(shop: Works, shelf: Shelf) -> None:
    made = promote("create", *PERCENT, "--automatic", "--sku", "cup")
    assert (made.exit_code, made.stdout.endswith(" was created: 15 %.\n")) == (0, True)
    assert discount(shop, shelf) == 150
    [(promotion_id,)] = shelf.rows("SELECT id FROM promotions")
    [line] = promote("list").stdout.splitlines()
    assert line.split("\t")[:4] == [str(promotion_id), "Fifteen off", "15 %", "cup"]
    assert promote("end", promotion_id).stdout == f"Promotion {promotion_id} has ended.\n"
    assert promote("end", promotion_id).stdout == f"Promotion {promotion_id} had ended already.\n"
    assert discount(shop, shelf) == 0
    assert promote("list").stdout == ""
    assert len(promote("list", "--all").stdout.splitlines()) == 1


def test_coupons_are_named_drawn_imported_listed_and_exported(shop: Works, shelf: Shelf, tmp_path: Path) -> None:
    promotion_id = make("--title", "Five off", "--kind", "fixed_amount", "--amount", "5.00", "--currency", "EUR")
    assert discount(shop, shelf) == 0
    named = hand_out("create", promotion_id, "--code", "welcome 5", "--limit", "1")
    assert (named.exit_code, named.stdout) == (0, "WELCOME5\n")
    assert discount(shop, shelf, "Welcome5") == 500

    drawn = hand_out("create", promotion_id, "--count", "200", "--prefix", "spring-", "--per-customer", "1", "--json")
    codes = json.loads(drawn.stdout)["added"]
    assert (len(set(codes)), {code[:7] for code in codes}, {len(code) for code in codes}) == (200, {"SPRING-"}, {15})
    assert discount(shop, shelf, codes[0], customer="ada") == 500

    file = tmp_path / "codes.txt"
    file.write_text("OLD-1\n\n old-2 \nWELCOME5\nold-1\n")
    imported = hand_out("import", promotion_id, file)
    assert (imported.exit_code, imported.stdout) == (3, "OLD-1\nOLD-2\n")
    assert "1 codes exist already" in imported.stderr

    assert hand_out("list", "--code", "OLD-1").stdout == f"OLD-1\t{promotion_id}\t0\t-\t-\n"
    assert hand_out("list", "--code", "NONE").exit_code == 1
    assert len(hand_out("list", "--promotion", promotion_id, "--limit", 1000).stdout.splitlines()) == 203
    written = tmp_path / "written.csv"
    assert hand_out("export", promotion_id, written).exit_code == 0
    lines = written.read_text().splitlines()
    assert (len(lines), lines[0], "WELCOME5,0,1," in lines) == (204, "code,used,limit,per_customer", True)
    assert hand_out("export", promotion_id, written).exit_code == 2
    [shown] = [line for line in promote("show", promotion_id).stdout.splitlines() if line.startswith("coupons\t")]
    assert shown == "coupons\t203"


def test_the_last_use_of_a_coupon_is_the_last(shop: Works, shelf: Shelf) -> None:
    promotion_id = make(*PERCENT)
    hand_out("create", promotion_id, "--code", "ONCE", "--limit", "1")
    first = shop.start(shelf.add_cart(("cup", 1), coupon_codes=["once"]), token="tok_ok")
    shop.pump()
    assert shop.states([first]) == ["completed"]
    assert discount(shop, shelf, "ONCE") == "coupon_used_up"
    assert json.loads(promote("show", promotion_id, "--json").stdout)["used"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--title", "T", "--kind", "percentage", "--percent", "100.01"), "percent"),
        (("--title", "T", "--kind", "percentage", "--percent", "0"), "percent"),
        (("--title", "T", "--kind", "percentage", "--percent", "nan"), "percent"),
        (("--title", "T", "--kind", "percentage"), "percent belongs to the kind percentage"),
        (("--title", "T", "--kind", "free_shipping", "--percent", "5"), "percent belongs to the kind percentage"),
        (
            ("--title", "T", "--kind", "fixed_amount", "--currency", "EUR"),
            "amount_minor belongs to the kind",
        ),
        (("--title", "T", "--kind", "fixed_amount", "--amount", "5"), "--amount needs --currency"),
        (("--title", "T", "--kind", "fixed_amount", "--amount", "5.005", "--currency", "EUR"), "minor units"),
        (("--title", "T", "--kind", "fixed_amount", "--amount", "0", "--currency", "EUR"), "amount_minor"),
        ((*PERCENT, "--minimum", "-1", "--currency", "EUR"), "minimum_minor"),
        ((*PERCENT, "--minimum", "5", "--currency", "EURO"), "--minimum"),
        ((*PERCENT, "--starts", "2100-01-02", "--ends", "2100-01-01"), "it ends before it begins"),
        (("--title", "", "--kind", "percentage", "--percent", "5"), "title"),
        ((*PERCENT, "--sku", ""), "skus"),
    ],
)
def test_a_wrong_promotion_is_refused(shop: Works, shelf: Shelf, arguments: tuple[str, ...], words: str) -> None:
    refused = promote("create", *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert words in " ".join(refused.stderr.replace("│", " ").split()), refused.stderr
    assert shelf.rows("SELECT FROM promotions") == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("create", "ID"), 2, "name codes, or how many to draw"),
        (("create", "ID", "--code", "A", "--count", "2"), 2, "name codes, or how many to draw"),
        (("create", "ID", "--code", ""), 2, "codes"),
        (("create", "ID", "--count", "2", "--prefix", "é"), 2, "prefix"),
        (("create", "ID", "--count", "100001"), 2, "--count"),
        (("create", "99", "--code", "A"), 1, "There is no promotion 99: `checkout promotions list --all` shows them."),
        (("import", "ID", "nowhere.txt"), 2, "nowhere.txt cannot be read"),
    ],
)
def test_wrong_coupons_are_refused(
    shop: Works, shelf: Shelf, arguments: tuple[str, ...], code: int, words: str
) -> None:
    promotion_id = str(make(*PERCENT))
    refused = hand_out(*(promotion_id if each == "ID" else each for each in arguments))
    assert (refused.exit_code, refused.stdout) == (code, "")
    assert words in " ".join(refused.stderr.replace("│", " ").split()), refused.stderr
    assert shelf.rows("SELECT FROM coupons") == []
    assert promote("show", 99).exit_code == 1
