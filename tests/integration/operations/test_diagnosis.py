"""Diagnosis of the whole engine: each fault is made for real, found, counted, and reported with a command."""

import pytest
from sqlalchemy import Engine, text

from pipeline.operations.diagnostics import Severity, diagnose, judge_queues
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works
from workers.broker.queue_stats import QueueFigures

ENDPOINT = """
    INSERT INTO webhook_endpoints (id, url, secret, kinds)
    VALUES (gen_random_uuid(), 'https://x.example', 'whsec_', '{checkout.started}')
"""

#: An order of the checkout that was cancelled, past every guard, and a change of it.
ORDER = (
    "INSERT INTO orders (id, checkout_id, cart_id, number, state, placed_at, owner, currency, subtotal_minor,"
    " discount_minor, shipping_minor, tax_minor, total_minor, shipping_address)"
    " SELECT id, id, cart_id, 1, 'placed', now(), owner, currency, 0, 0, 0, 0, 0, '{}' FROM checkouts WHERE id = :ended"
)
CHANGE = (
    "INSERT INTO order_changes (id, order_id, checkout_id, owner, kind, state, amount_minor, actor, due_at)"
    " VALUES (:ended, :ended, :ended, 'shop', "
)

#: What is done to a shop with one checkout that waits to be paid (`id`) and one that was cancelled (`ended`).
WRONGS = {
    "expired_locks": ["UPDATE checkouts SET expires_at = now() - interval '1 h' WHERE id = :id"],
    "stuck_checkouts": [
        "UPDATE checkouts SET due_at = now() - interval '1 h', due_reason = 'scheduled' WHERE id = :id"
    ],
    "needs_review": [
        "UPDATE checkouts SET state = 'running' WHERE id = :id",
        "UPDATE checkouts SET state = 'needs_review', review = '{}' WHERE id = :id",
    ],
    "payments_review": [
        "INSERT INTO payments (checkout_id, gateway, token, review) VALUES (:ended, 'sandbox', 'tok_ok', '{}')"
    ],
    "payments_unknown": [
        "INSERT INTO payments (checkout_id, gateway, token) VALUES (:id, 'sandbox', 'tok_ok')",
        "INSERT INTO payment_operations"
        " (checkout_id, kind, n, idempotency_key, amount_minor, status, fence, created_at)"
        " VALUES (:id, 'open', 1, 'k', 1, 'unknown', 0, now() - interval '6 min')",
    ],
    "changes_stuck": [ORDER, f"{CHANGE} 'refund', 'requested', 5, 'key:1', now() - interval '1 h')"],
    "changes_review": [ORDER, f"{CHANGE} 'refund', 'needs_review', 5, 'key:1', NULL)"],
    "refunds_returned": [
        ORDER,
        f"{CHANGE} 'refund', 'needs_review', 5, 'key:1', NULL)",
        "INSERT INTO refunds (change_id, checkout_id, n, idempotency_key, amount_minor, status, reference)"
        " VALUES (:ended, :ended, 1, 'k', 5, 'returned', 're_1')",
    ],
    "disputes_open": [ORDER, f"{CHANGE} 'dispute', 'running', 5, 'provider', NULL)"],
    "held_by_ended": ["UPDATE reservations SET state = 'held' WHERE checkout_id = :ended"],
    "coupons_of_ended": ["UPDATE redemptions SET returned_at = NULL WHERE checkout_id = :ended"],
    "orders_without_checkout": [
        "INSERT INTO orders (id, checkout_id, cart_id, owner, currency, subtotal_minor, discount_minor, shipping_minor,"
        " tax_minor, total_minor, shipping_address) SELECT gen_random_uuid(), id, cart_id, owner, currency, 0, 0, 0, 0,"
        " 0, '{}' FROM checkouts WHERE id = :ended"
    ],
    "messages_refused": ["INSERT INTO rejected_messages (queue, body, code, message) VALUES ('q', 'b', 'c', 'm')"],
    "webhooks_failing": [
        "INSERT INTO webhook_inbox (id, gateway, event_id, kind, body, attempts, due_at)"
        " VALUES (:id, 'sandbox', 'evt_1', 'k', '{}', 5, now())"
    ],
    "deliveries_dead_lettered": [
        ENDPOINT,
        "INSERT INTO webhook_deliveries (checkout_id, event_id, endpoint_id, status, due_at)"
        " SELECT e.checkout_id, e.id, p.id, 'dead_lettered', NULL FROM events e, webhook_endpoints p LIMIT 1",
    ],
    # By the name in the catalog: nobody else may wait for the partition itself.
    "partitions_missing": [
        "UPDATE pg_class SET relname = 'renamed' WHERE relname ="
        " 'events' || to_char((now() AT TIME ZONE 'UTC') + interval '1 month', '_YYYY_MM')"
    ],
    "partitions_misplaced": [
        "INSERT INTO events (checkout_id, kind, owner)"
        " VALUES ('ffffffff-ffff-7fff-8fff-ffffffffffff', 'checkout.started', 'shop')"
    ],
    "tax_rates_ended": [
        "INSERT INTO tax_rates (country, name, name_key, rate, valid_from, valid_until)"
        " VALUES ('GB', 'VAT', 'vat', 0.2, now() - interval '9 days', now() - interval '1 day')"
    ],
    "keys_expiring": [
        "INSERT INTO api_keys (id, owner, name, scopes, secret_hash, created_at, expires_at)"
        " VALUES ('k', 'o', 'n', '{checkout}', 'x', now() - interval '30 days', now() + interval '1 day'),"
        # One that was made for a day is meant to run out.
        " ('l', 'o', 'n', '{checkout}', 'x', now(), now() + interval '1 day')"
    ],
    "rates_too_old": [
        "INSERT INTO exchange_rates (base, quote, rate, source, observed_at)"
        " VALUES ('EUR', 'USD', 1.1, 'ECB', now() - interval '9 days')"
    ],
    "redelivered_lost": ["INSERT INTO events (checkout_id, kind, owner) VALUES (:id, 'sweep.redelivered', 'shop')"],
    "redelivered_slow": [
        "INSERT INTO events (checkout_id, kind, owner) VALUES (:id, 'sweep.redelivered', 'shop')",
        "INSERT INTO events (checkout_id, kind, data, owner)"
        " SELECT checkout_id, 'sweep.slow', jsonb_build_object('redelivered', id), owner"
        " FROM events WHERE kind = 'sweep.redelivered'",
    ],
    "sweep_late": ["UPDATE heartbeats SET at = now() - interval '30 s'"],
    "sweep_stopped": ["UPDATE heartbeats SET at = now() - interval '1 h'"],
}


@pytest.fixture
def shop(engine: Engine, works: Works, shelf: Shelf) -> dict[str, object]:
    """One that waits, one that was cancelled with a coupon, and a sweep that runs."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_coupon("TEN")
    waiting = works.start(shelf.add_cart(("cup", 1)))
    ended = works.start(shelf.add_cart(("cup", 1), coupon_codes=["TEN"]))
    works.pump()
    works.service.cancel(ended, "shop-1")
    works.pump()
    works.sweep()
    return {"id": waiting, "ended": ended}


def test_all_is_well(shop: dict[str, object], engine: Engine, settings: Settings) -> None:
    with engine.connect() as connection:
        findings = diagnose(connection, settings)
    assert {(each.severity, each.count, each.sentence, each.command) for each in findings} == {
        (Severity.OK, 0, "None.", None)
    }
    assert {each.code for each in findings} == set(WRONGS)


SINGULAR = {
    "expired_locks": "1 checkout has expired and still holds its stock",
    "stuck_checkouts": "1 checkout is overdue",
    "needs_review": "1 checkout needs review",
    "payments_review": "1 payment of an ended checkout could not be voided or refunded",
    "payments_unknown": "1 payment call has had an unknown outcome for five minutes",
    "changes_stuck": "1 change of an order is overdue",
    "changes_review": "1 change of an order needs review",
    "refunds_returned": "1 refund was accepted by the provider and failed later",
    "disputes_open": "1 dispute is open",
    "held_by_ended": "1 reservation is held for a checkout that has ended",
    "coupons_of_ended": "1 coupon use was not returned by its checkout that recently ended without an order",
    "orders_without_checkout": "1 order is pending for a checkout that recently ended",
    "messages_refused": "1 message was rejected as invalid",
    "webhooks_failing": "1 inbound webhook has failed five times or more",
    "deliveries_dead_lettered": "1 outbound webhook is dead-lettered",
    "partitions_missing": "1 partition of this month or the next is missing",
    "partitions_misplaced": "1 table has rows in the default partition that belong to a month",
    "tax_rates_ended": "1 group of tax rates (a country, a region, a category) has ended",
    "keys_expiring": "1 API key expires within a week",
    "rates_too_old": "1 currency has only exchange rates that are too old",
    "redelivered_lost": "1 message was redelivered by the sweep",
    "redelivered_slow": "1 message was redelivered by the sweep while a slow worker still processed it",
    "sweep_late": "The sweep is late",
    "sweep_stopped": "The sweep has not run for a minute",
}


@pytest.mark.parametrize("code", WRONGS)
def test_what_is_wrong_is_found(code: str, shop: dict[str, object], engine: Engine, settings: Settings) -> None:
    with engine.connect() as connection:
        # Past the triggers, and never committed.
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for statement in WRONGS[code]:
            used = {name: value for name, value in shop.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
        findings = {each.code: each for each in diagnose(connection, settings)}
        connection.rollback()
    found = findings.pop(code)
    assert (found.count, found.severity is Severity.OK) == (1, False)
    # And one is said in the singular
    assert found.sentence.startswith(SINGULAR[code])
    assert found.command
    assert {each.code for each in findings.values() if each.severity is not Severity.OK} == set()


def test_the_queues_have_their_say() -> None:
    quiet = QueueFigures("checkout.intake", 0, 0, 0, None)
    assert [(each.code, each.severity) for each in judge_queues([quiet])] == [("dead_lettered", Severity.OK)]
    dead_lettered = QueueFigures("checkout.intake", 0, 0, 3, None)
    assert [(each.severity, each.count) for each in judge_queues([dead_lettered])] == [(Severity.WARNING, 3)]
    assert [(each.code, each.severity) for each in judge_queues(None)] == [("broker_away", Severity.CRITICAL)]
