-- Payments, each call to the gateway, and the inbox of its webhooks.

CREATE TABLE payments (
    checkout_id uuid NOT NULL,
    gateway text NOT NULL,
    token text NOT NULL,
    attempts smallint DEFAULT 1 NOT NULL,
    reference text,
    status text DEFAULT 'new' NOT NULL,
    action jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    authorized_until timestamptz,
    review jsonb,
    charge_due_at timestamptz,
    charge_leased_until timestamptz,
    CONSTRAINT payments_pkey PRIMARY KEY (checkout_id),
    CONSTRAINT payments_reference_key UNIQUE (reference),
    CONSTRAINT payments_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id),
    CONSTRAINT payments_status_check CHECK (status IN ('action_required', 'authorized', 'cancelled', 'captured',
        'new', 'open', 'refunded')),
    CONSTRAINT payments_token_length_check CHECK (char_length(token) <= 255)
);
CREATE INDEX payments_review_idx ON payments (checkout_id) WHERE review IS NOT NULL;
CREATE INDEX payments_charge_due_idx ON payments (charge_due_at) WHERE charge_due_at IS NOT NULL;

CREATE TABLE payment_operations (
    id bigint GENERATED ALWAYS AS IDENTITY,
    checkout_id uuid NOT NULL,
    kind text NOT NULL,
    n smallint NOT NULL,
    idempotency_key text NOT NULL,
    amount_minor bigint NOT NULL,
    status text DEFAULT 'intended' NOT NULL,
    fence integer NOT NULL,
    leased_until timestamptz,
    attempts smallint DEFAULT 0 NOT NULL,
    code text,
    last_error text,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT payment_operations_pkey PRIMARY KEY (id),
    CONSTRAINT payment_operations_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT payment_operations_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES payments (checkout_id),
    CONSTRAINT payment_operations_kind_check CHECK (kind IN ('authorize', 'capture', 'open', 'refund', 'void')),
    CONSTRAINT payment_operations_status_check
        CHECK (status IN ('action_required', 'declined', 'intended', 'succeeded', 'unknown')),
    CONSTRAINT payment_operations_amount_check CHECK (amount_minor >= 0)
);
CREATE UNIQUE INDEX payment_operations_checkout_id_kind_n_idx ON payment_operations (checkout_id, kind, n);
CREATE UNIQUE INDEX payment_operations_once_key ON payment_operations (checkout_id, kind) WHERE status = 'succeeded'
    AND kind IN ('capture', 'refund');
CREATE INDEX payment_operations_unsettled_idx ON payment_operations (checkout_id)
    WHERE status IN ('intended', 'unknown');

CREATE TABLE webhook_inbox (
    id uuid NOT NULL,
    gateway text NOT NULL,
    event_id text NOT NULL,
    kind text NOT NULL,
    reference text,
    checkout_id uuid,
    body text NOT NULL,
    status text DEFAULT 'received' NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    due_at timestamptz,
    last_error text,
    received_at timestamptz DEFAULT now() NOT NULL,
    settled_at timestamptz,
    CONSTRAINT webhook_inbox_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_inbox_status_check CHECK (status IN ('applied', 'ignored', 'received', 'unmatched')),
    CONSTRAINT webhook_inbox_event_id_length_check CHECK (char_length(event_id) <= 255)
);
CREATE INDEX webhook_inbox_due_idx ON webhook_inbox (due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX webhook_inbox_event_key ON webhook_inbox (gateway, event_id);
