-- Carts and their lines.

CREATE TABLE carts (
    id uuid NOT NULL,
    currency char(3) NOT NULL,
    state text DEFAULT 'open' NOT NULL,
    shipping_address jsonb,
    billing_address jsonb,
    lock_version integer DEFAULT 0 NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    customer text,
    coupon_codes text[] DEFAULT '{}' NOT NULL,
    tax_id text,
    shipping_minor bigint,
    shipping_title text,
    shipping_tax_included boolean,
    shipping_taxes jsonb,
    owner text,
    tax_id_validated jsonb,
    CONSTRAINT carts_pkey PRIMARY KEY (id),
    CONSTRAINT carts_state_check CHECK (state IN ('completed', 'open')),
    CONSTRAINT carts_owner_length_check CHECK (char_length(owner) <= 255),
    CONSTRAINT carts_tax_id_validated_check CHECK (tax_id IS NOT NULL OR tax_id_validated IS NULL)
);

CREATE TABLE cart_lines (
    cart_id uuid NOT NULL,
    line integer NOT NULL,
    sku text NOT NULL,
    quantity integer NOT NULL,
    unit_price_minor bigint,
    currency text,
    title text,
    tax_included boolean,
    discounts jsonb,
    taxes jsonb,
    CONSTRAINT cart_lines_pkey PRIMARY KEY (cart_id, line),
    CONSTRAINT cart_lines_cart_id_fkey FOREIGN KEY (cart_id) REFERENCES carts (id) ON DELETE CASCADE,
    CONSTRAINT cart_lines_sku_length_check CHECK (char_length(sku) <= 255),
    CONSTRAINT cart_lines_title_length_check CHECK (char_length(title) <= 1000)
);
