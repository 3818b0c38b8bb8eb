-- The frozen quote of a checkout, and the coupons that it uses.

CREATE TABLE price_locks (
    checkout_id uuid NOT NULL,
    currency char(3) NOT NULL,
    total_minor bigint NOT NULL,
    shipping_address jsonb NOT NULL,
    billing_address jsonb,
    hash text NOT NULL,
    locked_at timestamptz DEFAULT now() NOT NULL,
    voided_at timestamptz,
    shipping jsonb,
    base_currency char(3),
    exchange_rate text,
    exchange_source text,
    exchange_at text,
    tax_id text,
    subtotal_minor bigint NOT NULL,
    discount_minor bigint NOT NULL,
    shipping_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    rounding text NOT NULL,
    tax_id_validated jsonb,
    CONSTRAINT price_locks_pkey PRIMARY KEY (checkout_id),
    CONSTRAINT price_locks_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id),
    CONSTRAINT price_locks_total_check CHECK (total_minor >= 0)
);

CREATE TABLE price_lock_lines (
    checkout_id uuid NOT NULL,
    line integer NOT NULL,
    variant_id bigint NOT NULL,
    sku text NOT NULL,
    title text NOT NULL,
    quantity integer NOT NULL,
    unit_price_minor bigint NOT NULL,
    total_minor bigint NOT NULL,
    price_source text NOT NULL,
    tax_included boolean NOT NULL,
    subtotal_minor bigint NOT NULL,
    discount_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    discounts jsonb NOT NULL,
    taxes jsonb NOT NULL,
    CONSTRAINT price_lock_lines_pkey PRIMARY KEY (checkout_id, line),
    CONSTRAINT price_lock_lines_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES price_locks (checkout_id),
    CONSTRAINT price_lock_lines_variant_id_fkey FOREIGN KEY (variant_id) REFERENCES variants (id),
    CONSTRAINT price_lock_lines_quantity_check CHECK (quantity > 0),
    CONSTRAINT price_lock_lines_total_check CHECK (unit_price_minor >= 0
        AND subtotal_minor = unit_price_minor * quantity AND discount_minor BETWEEN 0 AND subtotal_minor
        AND tax_minor >= 0 AND total_minor = subtotal_minor - discount_minor + CASE WHEN tax_included THEN 0
        ELSE tax_minor END),
    CONSTRAINT price_lock_lines_price_source_check CHECK (price_source IN ('list', 'external'))
);

CREATE TABLE redemptions (
    checkout_id uuid NOT NULL,
    code text NOT NULL,
    customer text,
    redeemed_at timestamptz DEFAULT now() NOT NULL,
    returned_at timestamptz,
    promotion_id bigint,
    CONSTRAINT redemptions_pkey PRIMARY KEY (checkout_id, code),
    CONSTRAINT redemptions_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id),
    CONSTRAINT redemptions_code_fkey FOREIGN KEY (code) REFERENCES coupons (code)
);
CREATE INDEX redemptions_customer_idx ON redemptions (code, customer) WHERE returned_at IS NULL
    AND customer IS NOT NULL;
CREATE UNIQUE INDEX redemptions_promotion_key ON redemptions (checkout_id, promotion_id);
