-- Variants, their prices, and their stock at each location.

CREATE TABLE variants (
    id bigint GENERATED ALWAYS AS IDENTITY,
    sku text NOT NULL,
    title text NOT NULL,
    category text,
    backorder_policy text DEFAULT 'deny' NOT NULL,
    active boolean DEFAULT true NOT NULL,
    look_alike text NOT NULL,
    CONSTRAINT variants_pkey PRIMARY KEY (id),
    CONSTRAINT variants_sku_key UNIQUE (sku),
    CONSTRAINT variants_backorder_policy_check CHECK (backorder_policy IN ('deny', 'continue')),
    CONSTRAINT variants_sku_length_check CHECK (char_length(sku) <= 255),
    CONSTRAINT variants_sku_check CHECK (sku <> ''),
    CONSTRAINT variants_title_length_check CHECK (char_length(title) <= 1000)
);
CREATE INDEX variants_look_alike_idx ON variants (look_alike);

CREATE TABLE derived_skus (
    digest text NOT NULL,
    handle text NOT NULL,
    options text[] NOT NULL,
    variant_id bigint NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT derived_skus_pkey PRIMARY KEY (digest),
    CONSTRAINT derived_skus_variant_id_key UNIQUE (variant_id),
    CONSTRAINT derived_skus_variant_id_fkey FOREIGN KEY (variant_id) REFERENCES variants (id) ON DELETE CASCADE,
    CONSTRAINT derived_skus_digest_check CHECK (digest ~ '^[0-9a-f]{64}$'),
    CONSTRAINT derived_skus_handle_length_check CHECK (char_length(handle) <= 255)
);

CREATE TABLE prices (
    id bigint GENERATED ALWAYS AS IDENTITY,
    variant_id bigint NOT NULL,
    currency char(3) NOT NULL,
    amount_minor bigint NOT NULL,
    valid_from timestamptz DEFAULT now() NOT NULL,
    valid_until timestamptz,
    tax_included boolean DEFAULT true NOT NULL,
    CONSTRAINT prices_pkey PRIMARY KEY (id),
    CONSTRAINT prices_variant_id_fkey FOREIGN KEY (variant_id) REFERENCES variants (id) ON DELETE CASCADE,
    CONSTRAINT prices_amount_check CHECK (amount_minor >= 0),
    CONSTRAINT prices_range_check CHECK (valid_until > valid_from)
);
CREATE UNIQUE INDEX prices_variant_id_currency_valid_from_idx ON prices (variant_id, currency, valid_from);

CREATE TABLE locations (
    id bigint GENERATED ALWAYS AS IDENTITY,
    code text NOT NULL,
    CONSTRAINT locations_pkey PRIMARY KEY (id),
    CONSTRAINT locations_code_key UNIQUE (code),
    CONSTRAINT locations_code_check CHECK (code <> '')
);

CREATE TABLE stock_levels (
    variant_id bigint NOT NULL,
    location_id bigint NOT NULL,
    on_hand bigint NOT NULL,
    reserved bigint DEFAULT 0 NOT NULL,
    backorderable boolean DEFAULT false NOT NULL,
    CONSTRAINT stock_levels_pkey PRIMARY KEY (variant_id, location_id),
    CONSTRAINT stock_levels_variant_id_fkey FOREIGN KEY (variant_id) REFERENCES variants (id),
    CONSTRAINT stock_levels_location_id_fkey FOREIGN KEY (location_id) REFERENCES locations (id),
    CONSTRAINT stock_levels_no_oversell_check CHECK (reserved >= 0 AND (backorderable OR reserved <= on_hand))
) WITH (fillfactor = 50);
