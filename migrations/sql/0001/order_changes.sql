-- What happens to an order after it was placed: its changes, their lines, and the refunds at the provider.

CREATE TABLE order_changes (
    id uuid NOT NULL,
    order_id uuid NOT NULL,
    checkout_id uuid NOT NULL,
    owner text NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'requested' NOT NULL,
    amount_minor bigint,
    delivery_minor bigint DEFAULT 0 NOT NULL,
    reason text DEFAULT '' NOT NULL,
    actor text NOT NULL,
    idempotency_key text,
    fingerprint text,
    reference text,
    options jsonb DEFAULT '{}' NOT NULL,
    outcome jsonb DEFAULT '{}' NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    last_error text,
    sent_at timestamptz,
    due_at timestamptz,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    ended_at timestamptz,
    CONSTRAINT order_changes_pkey PRIMARY KEY (id),
    CONSTRAINT order_changes_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT order_changes_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id),
    CONSTRAINT order_changes_kind_check CHECK (kind IN ('cancel', 'dispute', 'fulfillment', 'refund', 'restock')),
    CONSTRAINT order_changes_state_check CHECK (state IN ('done', 'failed', 'needs_review', 'requested', 'running')),
    CONSTRAINT order_changes_amount_check CHECK ((amount_minor > 0 OR amount_minor = 0
        AND kind IN ('cancel', 'refund')) AND delivery_minor BETWEEN 0 AND amount_minor),
    CONSTRAINT order_changes_amount_given_check
        CHECK ((amount_minor IS NOT NULL) = (kind IN ('refund', 'cancel', 'dispute'))),
    CONSTRAINT order_changes_key_check CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL)),
    CONSTRAINT order_changes_ended_check CHECK ((ended_at IS NOT NULL) = (state IN ('done', 'failed'))),
    CONSTRAINT order_changes_due_check CHECK (due_at IS NULL OR state IN ('requested', 'running')),
    CONSTRAINT order_changes_owner_length_check CHECK (char_length(owner) <= 255),
    CONSTRAINT order_changes_actor_length_check CHECK (char_length(actor) <= 255),
    CONSTRAINT order_changes_idempotency_key_length_check CHECK (char_length(idempotency_key) <= 255),
    CONSTRAINT order_changes_reason_length_check CHECK (char_length(reason) <= 1000)
);
CREATE UNIQUE INDEX order_changes_owner_idempotency_key_idx ON order_changes (owner, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX order_changes_reference_idx ON order_changes (reference) WHERE reference IS NOT NULL;
CREATE INDEX order_changes_order_id_id_idx ON order_changes (order_id, id);
CREATE INDEX order_changes_due_idx ON order_changes (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX order_changes_review_idx ON order_changes (id) WHERE state = 'needs_review';
CREATE INDEX order_changes_dispute_idx ON order_changes (id) WHERE kind = 'dispute' AND state = 'running';
CREATE INDEX order_changes_ended_idx ON order_changes (ended_at) WHERE ended_at IS NOT NULL;
CREATE UNIQUE INDEX order_changes_cancel_key ON order_changes (order_id) WHERE kind = 'cancel' AND state <> 'failed';

CREATE TABLE order_change_lines (
    id bigint GENERATED ALWAYS AS IDENTITY,
    change_id uuid NOT NULL,
    purpose text NOT NULL,
    line integer NOT NULL,
    location_id bigint,
    quantity integer NOT NULL,
    amount_minor bigint DEFAULT 0 NOT NULL,
    CONSTRAINT order_change_lines_pkey PRIMARY KEY (id),
    CONSTRAINT order_change_lines_change_id_fkey FOREIGN KEY (change_id) REFERENCES order_changes (id),
    CONSTRAINT order_change_lines_location_id_fkey FOREIGN KEY (location_id) REFERENCES locations (id),
    CONSTRAINT order_change_lines_purpose_check CHECK (purpose IN ('fulfillment', 'refund', 'restock')),
    CONSTRAINT order_change_lines_quantity_check CHECK (quantity > 0),
    CONSTRAINT order_change_lines_amount_check CHECK (amount_minor >= 0 AND (purpose = 'refund' OR amount_minor = 0)),
    CONSTRAINT order_change_lines_location_check CHECK (purpose <> 'restock' OR location_id IS NOT NULL)
);
CREATE UNIQUE INDEX order_change_lines_key ON order_change_lines (change_id, purpose, line, location_id)
    NULLS NOT DISTINCT;

CREATE TABLE refunds (
    id bigint GENERATED ALWAYS AS IDENTITY,
    change_id uuid NOT NULL,
    checkout_id uuid NOT NULL,
    n smallint NOT NULL,
    idempotency_key text,
    amount_minor bigint NOT NULL,
    status text DEFAULT 'intended' NOT NULL,
    reference text,
    leased_until timestamptz,
    attempts smallint DEFAULT 0 NOT NULL,
    code text,
    last_error text,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT refunds_pkey PRIMARY KEY (id),
    CONSTRAINT refunds_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT refunds_reference_key UNIQUE (reference),
    CONSTRAINT refunds_change_id_fkey FOREIGN KEY (change_id) REFERENCES order_changes (id),
    CONSTRAINT refunds_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES payments (checkout_id),
    CONSTRAINT refunds_status_check CHECK (status IN ('declined', 'intended', 'returned', 'succeeded', 'unknown')),
    CONSTRAINT refunds_amount_check CHECK (amount_minor > 0),
    CONSTRAINT refunds_named_check CHECK (idempotency_key IS NOT NULL OR reference IS NOT NULL)
);
CREATE UNIQUE INDEX refunds_checkout_id_n_idx ON refunds (checkout_id, n);
CREATE UNIQUE INDEX refunds_unsettled_key ON refunds (change_id) WHERE status IN ('intended', 'unknown');
CREATE INDEX refunds_change_id_idx ON refunds (change_id);
