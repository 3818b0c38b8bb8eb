-- Three checkouts whose rows agree: 1 completed (2 mugs and postage less a coupon, 500), 2 failed (3 mugs, 750, undone), 3 running (holds 1 mug).
INSERT INTO variants (id, sku, title, look_alike) OVERRIDING SYSTEM VALUE VALUES (1, 'mug', 'Mug', 'mug');
INSERT INTO locations (id, code) OVERRIDING SYSTEM VALUE VALUES (1, 'main');
INSERT INTO stock_levels (variant_id, location_id, on_hand, reserved) VALUES (1, 1, 8, 1);

INSERT INTO carts (id, currency, state) VALUES
    ('00000000-0000-7000-8000-0000000000c1', 'EUR', 'completed'),
    ('00000000-0000-7000-8000-0000000000c2', 'EUR', 'open'),
    ('00000000-0000-7000-8000-0000000000c3', 'EUR', 'open');

INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, expires_at, pivot_at,
                       sent_at, due_at, due_reason, failure_code, failure_phase, created_at, ended_at) VALUES
    ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-0000000000c1', 'shop', 'EUR', 'completed', 7, true,
     now() + interval '15 min', now(), now(), NULL, NULL, NULL, NULL, now() - interval '4 s', now() - interval '2 s'),
    ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-0000000000c2', 'shop', 'EUR', 'failed', 0, true,
     now() + interval '15 min', now(), now(), NULL, NULL, 'payment_declined', 'payment_authorization',
     now() - interval '4 s', now() - interval '1 s'),
    ('00000000-0000-7000-8000-000000000003', '00000000-0000-7000-8000-0000000000c3', 'shop', 'EUR', 'running', 2, true,
     now() + interval '15 min', NULL, now(), now() + interval '5 s', 'stalled', NULL, NULL, now(), NULL);

-- The others are of a time when lines were not resolved.
INSERT INTO checkout_lines (checkout_id, line, variant_id) VALUES ('00000000-0000-7000-8000-000000000002', 1, 1);

INSERT INTO stock_movements (variant_id, location_id, kind, quantity, checkout_id) VALUES
    (1, 1, 'receive', 10, NULL),
    (1, 1, 'reserve', 2, '00000000-0000-7000-8000-000000000001'),
    (1, 1, 'sell', -2, '00000000-0000-7000-8000-000000000001'),
    (1, 1, 'reserve', 3, '00000000-0000-7000-8000-000000000002'),
    (1, 1, 'release', -3, '00000000-0000-7000-8000-000000000002'),
    (1, 1, 'reserve', 1, '00000000-0000-7000-8000-000000000003');

INSERT INTO reservations (checkout_id, line, variant_id, location_id, quantity, state) VALUES
    ('00000000-0000-7000-8000-000000000001', 1, 1, 1, 2, 'committed'),
    ('00000000-0000-7000-8000-000000000002', 1, 1, 1, 3, 'released'),
    ('00000000-0000-7000-8000-000000000003', 1, 1, 1, 1, 'held');

INSERT INTO price_locks (checkout_id, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor,
                         shipping, rounding, shipping_address, hash, voided_at) VALUES
    ('00000000-0000-7000-8000-000000000001', 'EUR', 500, 50, 50, 83, 500,
     '{"title": "Post", "tax_included": true, "subtotal_minor": 50, "discount_minor": 0, "tax_minor": 8,
       "total_minor": 50, "discounts": [], "taxes": [{"name": "VAT", "rate": "0.2", "amount_minor": 8}]}',
     'half-up, tax per line', '{}', '441e4c9ce529c8b365522e07a0697c4b6e174c2e389037bb23bca9c985b8b2d8', NULL),
    ('00000000-0000-7000-8000-000000000002', 'EUR', 750, 0, 0, 0, 750, NULL, 'half-up, tax per line', '{}', '73cb5475c4d0fe9545895a3776d323c2642ada626a30c62cc0c52dc6b3213a05',
     now());

INSERT INTO price_lock_lines (checkout_id, line, variant_id, sku, title, quantity, unit_price_minor, price_source,
                              tax_included, subtotal_minor, discount_minor, tax_minor, total_minor, discounts, taxes)
VALUES
    ('00000000-0000-7000-8000-000000000001', 1, 1, 'mug', 'Mug', 2, 250, 'list', true, 500, 50, 75, 450,
     '[{"text": "Ten off", "amount_minor": 50, "promotion_id": 1, "code": "TEN"}]',
     '[{"name": "VAT", "rate": "0.2", "amount_minor": 75}]'),
    ('00000000-0000-7000-8000-000000000002', 1, 1, 'mug', 'Mug', 3, 250, 'list', true, 750, 0, 0, 750, '[]', '[]');

INSERT INTO promotions (id, title, kind, percent) OVERRIDING SYSTEM VALUE VALUES (1, 'Ten off', 'percentage', 10);
INSERT INTO coupons (code, promotion_id, usage_limit, used) VALUES ('TEN', 1, 1, 1);
INSERT INTO redemptions (checkout_id, code, returned_at) VALUES
    ('00000000-0000-7000-8000-000000000001', 'TEN', NULL),
    ('00000000-0000-7000-8000-000000000002', 'TEN', now());

INSERT INTO payments (checkout_id, gateway, token, reference, status) VALUES
    ('00000000-0000-7000-8000-000000000001', 'sandbox', 'tok_ok', 'pay_1', 'captured'),
    ('00000000-0000-7000-8000-000000000002', 'sandbox', 'tok_capture_declined', 'pay_2', 'cancelled');

INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, status, fence) VALUES
    ('00000000-0000-7000-8000-000000000001', 'open', 1, '00000000-0000-7000-8000-000000000001:open:1', 500, 'succeeded', 0),
    ('00000000-0000-7000-8000-000000000001', 'authorize', 1, '00000000-0000-7000-8000-000000000001:authorize:1', 500, 'succeeded', 0),
    ('00000000-0000-7000-8000-000000000001', 'capture', 1, '00000000-0000-7000-8000-000000000001:capture:1', 500, 'succeeded', 0),
    ('00000000-0000-7000-8000-000000000002', 'open', 1, '00000000-0000-7000-8000-000000000002:open:1', 750, 'succeeded', 0),
    ('00000000-0000-7000-8000-000000000002', 'authorize', 1, '00000000-0000-7000-8000-000000000002:authorize:1', 750, 'succeeded', 0),
    ('00000000-0000-7000-8000-000000000002', 'capture', 1, '00000000-0000-7000-8000-000000000002:capture:1', 750, 'declined', 0),
    ('00000000-0000-7000-8000-000000000002', 'void', 1, '00000000-0000-7000-8000-000000000002:void:1', 750, 'succeeded', 1);

-- Copies, as phase 5 makes them.
INSERT INTO orders (id, checkout_id, cart_id, number, state, owner, currency, subtotal_minor, discount_minor,
                    shipping_minor, tax_minor, total_minor, shipping, shipping_address)
SELECT o.id, l.checkout_id, o.cart_id, o.number, o.state, 'shop', l.currency, l.subtotal_minor, l.discount_minor,
       l.shipping_minor, l.tax_minor, l.total_minor, l.shipping, l.shipping_address
FROM price_locks l JOIN (VALUES
    (uuid '00000000-0000-7000-8000-0000000000b1', uuid '00000000-0000-7000-8000-000000000001',
     uuid '00000000-0000-7000-8000-0000000000c1', 1001, 'placed'),
    (uuid '00000000-0000-7000-8000-0000000000b2', uuid '00000000-0000-7000-8000-000000000002',
     uuid '00000000-0000-7000-8000-0000000000c2', NULL, 'cancelled')
) AS o (id, checkout_id, cart_id, number, state) USING (checkout_id);

INSERT INTO order_lines (order_id, line, variant_id, sku, title, quantity, unit_price_minor, tax_included,
                         subtotal_minor, discount_minor, tax_minor, total_minor, discounts, taxes)
SELECT o.id, l.line, l.variant_id, l.sku, l.title, l.quantity, l.unit_price_minor, l.tax_included, l.subtotal_minor,
       l.discount_minor, l.tax_minor, l.total_minor, l.discounts, l.taxes
FROM orders o JOIN price_lock_lines l USING (checkout_id);

INSERT INTO events (checkout_id, kind, owner) VALUES
    ('00000000-0000-7000-8000-000000000001', 'checkout.started', 'shop'),
    ('00000000-0000-7000-8000-000000000001', 'checkout.completed', 'shop'),
    ('00000000-0000-7000-8000-000000000002', 'checkout.started', 'shop'),
    ('00000000-0000-7000-8000-000000000002', 'checkout.failed', 'shop'),
    ('00000000-0000-7000-8000-000000000003', 'checkout.started', 'shop');

INSERT INTO sandbox.payments
    (reference, checkout_id, currency, amount_minor, status, authorized_minor, captured_minor, refunded_minor) VALUES
    ('pay_1', '00000000-0000-7000-8000-000000000001', 'EUR', 500, 'captured', 500, 500, 0),
    ('pay_2', '00000000-0000-7000-8000-000000000002', 'EUR', 750, 'cancelled', 750, 0, 0);

INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES
    ('pay_1', 'authorize', 500), ('pay_1', 'capture', 500), ('pay_2', 'authorize', 750), ('pay_2', 'cancel', 750);

-- 1002 is for orders that tests write beside these.
SELECT setval('order_numbers', greatest((SELECT last_value FROM order_numbers), 1002));
