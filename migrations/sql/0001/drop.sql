-- Drop all that the other files create, detached months too.

DROP SCHEMA partitions CASCADE;

DROP TABLE
    sandbox.payments, sandbox.refunds, sandbox.disputes, sandbox.entries, sandbox.requests,
    api_keys, admin_sessions, stored_responses, webhook_endpoints, webhook_deliveries, heartbeats,
    orders, order_lines, order_changes, order_change_lines, refunds,
    payments, payment_operations, webhook_inbox,
    price_locks, price_lock_lines, redemptions,
    reservations, stock_movements,
    checkouts, checkout_lines, events, idempotency_keys, rejected_messages,
    tax_rates, exchange_rates, promotions, coupons,
    variants, derived_skus, catalog_changes, prices, locations, stock_levels,
    carts, cart_lines,
    detached_months, owner_moves;
DROP FUNCTION
    normalize_names(),
    cart_guard(),
    cart_lines_guard(),
    append_only_guard(),
    price_lock_guard(),
    checkout_guard(),
    frozen_guard(),
    transition_guard(),
    refund_guard(),
    change_line_guard(),
    owner_move_guard(),
    make_partition(regclass, date),
    first_id_of(date),
    normalize_name(text, text);
DROP SEQUENCE order_numbers;
DROP SCHEMA sandbox;
