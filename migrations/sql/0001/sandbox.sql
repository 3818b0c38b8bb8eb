-- The payments, ledger and requests of the sandbox bank, in a schema of its own.

CREATE SCHEMA IF NOT EXISTS sandbox;

CREATE TABLE sandbox.payments (
    reference text NOT NULL,
    checkout_id uuid NOT NULL,
    currency char(3) NOT NULL,
    amount_minor bigint NOT NULL,
    status text NOT NULL,
    authorized_minor bigint NOT NULL,
    captured_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    authorized_until timestamptz,
    CONSTRAINT payments_pkey PRIMARY KEY (reference),
    CONSTRAINT payments_status_check CHECK (status IN ('open', 'action_required', 'authorized', 'captured',
        'cancelled', 'refunded')),
    CONSTRAINT payments_amounts_check CHECK (captured_minor <= authorized_minor AND refunded_minor <= captured_minor)
);
CREATE INDEX payments_checkout_id_idx ON sandbox.payments (checkout_id);

CREATE TABLE sandbox.refunds (
    reference text NOT NULL,
    payment text NOT NULL,
    amount_minor bigint NOT NULL,
    state text DEFAULT 'succeeded' NOT NULL,
    operation_id text,
    failure text DEFAULT '' NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT refunds_pkey PRIMARY KEY (reference),
    CONSTRAINT refunds_operation_id_key UNIQUE (operation_id),
    CONSTRAINT refunds_payment_fkey FOREIGN KEY (payment) REFERENCES sandbox.payments (reference),
    CONSTRAINT refunds_state_check CHECK (state IN ('pending', 'succeeded', 'failed')),
    CONSTRAINT refunds_amount_check CHECK (amount_minor > 0)
);
CREATE INDEX refunds_payment_idx ON sandbox.refunds (payment);

CREATE TABLE sandbox.disputes (
    reference text NOT NULL,
    payment text NOT NULL,
    amount_minor bigint NOT NULL,
    state text DEFAULT 'open' NOT NULL,
    reason text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT disputes_pkey PRIMARY KEY (reference),
    CONSTRAINT disputes_payment_fkey FOREIGN KEY (payment) REFERENCES sandbox.payments (reference),
    CONSTRAINT disputes_state_check CHECK (state IN ('open', 'won', 'lost')),
    CONSTRAINT disputes_amount_check CHECK (amount_minor > 0)
);
CREATE INDEX disputes_payment_idx ON sandbox.disputes (payment);

CREATE TABLE sandbox.entries (
    id bigint GENERATED ALWAYS AS IDENTITY,
    reference text NOT NULL,
    kind text NOT NULL,
    amount_minor bigint NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT entries_pkey PRIMARY KEY (id)
);
CREATE INDEX entries_reference_idx ON sandbox.entries (reference);

CREATE TABLE sandbox.requests (
    key text NOT NULL,
    fingerprint text NOT NULL,
    calls integer NOT NULL,
    answer jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT requests_pkey PRIMARY KEY (key)
);
