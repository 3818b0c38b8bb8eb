-- Taxes, exchange rates, promotions and coupons.

CREATE TABLE tax_rates (
    id bigint GENERATED ALWAYS AS IDENTITY,
    country char(2) NOT NULL,
    region text,
    category text,
    name text NOT NULL,
    rate numeric(9, 6) NOT NULL,
    on_shipping boolean DEFAULT true NOT NULL,
    reverse_charge boolean DEFAULT false NOT NULL,
    valid_from timestamptz DEFAULT now() NOT NULL,
    valid_until timestamptz,
    name_key text NOT NULL,
    CONSTRAINT tax_rates_pkey PRIMARY KEY (id),
    CONSTRAINT tax_rates_rate_check CHECK (rate >= 0),
    CONSTRAINT tax_rates_range_check CHECK (valid_until > valid_from),
    CONSTRAINT tax_rates_country_check CHECK (country ~ '^[A-Z]{2}$' COLLATE "C"),
    CONSTRAINT tax_rates_region_check CHECK (region ~ '^[A-Z0-9]{1,3}$' COLLATE "C"),
    CONSTRAINT tax_rates_name_check CHECK (name <> '')
);
CREATE UNIQUE INDEX tax_rates_once_key ON tax_rates (country, region, category, name_key,
    valid_from) NULLS NOT DISTINCT;

CREATE TABLE exchange_rates (
    id bigint GENERATED ALWAYS AS IDENTITY,
    base char(3) NOT NULL,
    quote char(3) NOT NULL,
    rate numeric(20, 10) NOT NULL,
    source text NOT NULL,
    observed_at timestamptz NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT exchange_rates_pkey PRIMARY KEY (id),
    CONSTRAINT exchange_rates_rate_check CHECK (rate > 0)
);
CREATE UNIQUE INDEX exchange_rates_base_quote_source_observed_at_idx ON exchange_rates (base, quote, source,
    observed_at);
CREATE INDEX exchange_rates_observed_at_idx ON exchange_rates (observed_at);

CREATE TABLE promotions (
    id bigint GENERATED ALWAYS AS IDENTITY,
    title text NOT NULL,
    kind text NOT NULL,
    percent numeric(7, 4),
    amount_minor bigint,
    currency char(3),
    minimum_minor bigint DEFAULT 0 NOT NULL,
    skus text[] DEFAULT '{}' NOT NULL,
    categories text[] DEFAULT '{}' NOT NULL,
    priority integer DEFAULT 100 NOT NULL,
    combines boolean DEFAULT true NOT NULL,
    automatic boolean DEFAULT false NOT NULL,
    starts_at timestamptz DEFAULT now() NOT NULL,
    ends_at timestamptz,
    active boolean DEFAULT true NOT NULL,
    CONSTRAINT promotions_pkey PRIMARY KEY (id),
    CONSTRAINT promotions_percent_check CHECK (percent BETWEEN 0 AND 100),
    CONSTRAINT promotions_amounts_check CHECK (amount_minor >= 0 AND minimum_minor >= 0),
    CONSTRAINT promotions_kind_check CHECK (kind IN ('fixed_amount', 'free_shipping', 'percentage')),
    CONSTRAINT promotions_columns_check CHECK (CASE kind WHEN 'percentage' THEN percent IS NOT NULL
        WHEN 'fixed_amount' THEN amount_minor IS NOT NULL AND currency IS NOT NULL ELSE true END),
    CONSTRAINT promotions_title_length_check CHECK (char_length(title) <= 1000)
);
CREATE INDEX promotions_automatic_idx ON promotions (id) WHERE automatic AND active;

CREATE TABLE coupons (
    code text NOT NULL,
    promotion_id bigint NOT NULL,
    usage_limit integer,
    per_customer_limit integer,
    used integer DEFAULT 0 NOT NULL,
    CONSTRAINT coupons_pkey PRIMARY KEY (code),
    CONSTRAINT coupons_promotion_id_fkey FOREIGN KEY (promotion_id) REFERENCES promotions (id),
    CONSTRAINT coupons_used_check CHECK (used >= 0 AND (usage_limit IS NULL OR used <= usage_limit)),
    CONSTRAINT coupons_code_check CHECK (code <> ''),
    CONSTRAINT coupons_code_length_check CHECK (char_length(code) <= 100)
);
