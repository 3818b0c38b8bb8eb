-- Orders, their lines and numbers.

CREATE SEQUENCE order_numbers START WITH 1001;

CREATE TABLE orders (
    id uuid NOT NULL,
    checkout_id uuid NOT NULL,
    cart_id uuid NOT NULL,
    number bigint,
    state text DEFAULT 'pending' NOT NULL,
    owner text NOT NULL,
    reference text,
    currency char(3) NOT NULL,
    total_minor bigint NOT NULL,
    shipping_address jsonb NOT NULL,
    billing_address jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    placed_at timestamptz,
    cancelled_at timestamptz,
    shipping jsonb,
    subtotal_minor bigint NOT NULL,
    discount_minor bigint NOT NULL,
    shipping_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    customer text,
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_checkout_id_key UNIQUE (checkout_id),
    CONSTRAINT orders_number_key UNIQUE (number),
    CONSTRAINT orders_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id),
    CONSTRAINT orders_cart_id_fkey FOREIGN KEY (cart_id) REFERENCES carts (id),
    CONSTRAINT orders_state_check CHECK (state IN ('cancelled', 'pending', 'placed')),
    CONSTRAINT orders_number_check CHECK (CASE state WHEN 'pending' THEN number IS NULL
        WHEN 'placed' THEN number IS NOT NULL ELSE (number IS NULL) = (placed_at IS NULL) END)
);
CREATE UNIQUE INDEX orders_cart_key ON orders (cart_id) WHERE state <> 'cancelled';
CREATE INDEX orders_owner_id_idx ON orders (owner, id);
CREATE INDEX orders_owner_cancelled_idx ON orders (owner, id) WHERE state = 'cancelled' AND number IS NOT NULL;
CREATE INDEX orders_customer_owner_idx ON orders (customer, owner, id) WHERE customer IS NOT NULL;
CREATE INDEX orders_reference_owner_idx ON orders (reference, owner, id) WHERE reference IS NOT NULL;

CREATE TABLE order_lines (
    order_id uuid NOT NULL,
    line integer NOT NULL,
    variant_id bigint NOT NULL,
    sku text NOT NULL,
    title text NOT NULL,
    quantity integer NOT NULL,
    unit_price_minor bigint NOT NULL,
    total_minor bigint NOT NULL,
    tax_included boolean NOT NULL,
    subtotal_minor bigint NOT NULL,
    discount_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    discounts jsonb NOT NULL,
    taxes jsonb NOT NULL,
    CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, line),
    CONSTRAINT order_lines_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT order_lines_variant_id_fkey FOREIGN KEY (variant_id) REFERENCES variants (id),
    CONSTRAINT order_lines_total_check CHECK (quantity > 0 AND subtotal_minor = unit_price_minor * quantity
        AND discount_minor BETWEEN 0 AND subtotal_minor AND tax_minor >= 0
        AND total_minor = subtotal_minor - discount_minor + CASE WHEN tax_included THEN 0 ELSE tax_minor END)
);
