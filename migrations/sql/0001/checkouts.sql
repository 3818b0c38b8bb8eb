-- Checkouts: their state, lines, events and idempotency keys; messages that are refused.

CREATE TABLE checkouts (
    id uuid NOT NULL,
    cart_id uuid NOT NULL,
    owner text NOT NULL,
    reference text,
    currency char(3) NOT NULL,
    state text DEFAULT 'running' NOT NULL,
    phase smallint DEFAULT 0 NOT NULL,
    fence integer DEFAULT 0 NOT NULL,
    straight_through boolean NOT NULL,
    payment_given boolean DEFAULT false NOT NULL,
    expected_total_minor bigint,
    expires_at timestamptz NOT NULL,
    pivot_at timestamptz,
    sent_at timestamptz,
    due_at timestamptz,
    due_reason text,
    attempts smallint DEFAULT 0 NOT NULL,
    last_error text,
    ending text,
    failure_code text,
    failure_phase text,
    failure_message text,
    failure_detail jsonb,
    review jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    ended_at timestamptz,
    expected_hash text,
    expected_lines jsonb,
    line_count integer DEFAULT 1 NOT NULL,
    CONSTRAINT checkouts_pkey PRIMARY KEY (id),
    CONSTRAINT checkouts_cart_id_fkey FOREIGN KEY (cart_id) REFERENCES carts (id),
    CONSTRAINT checkouts_state_check CHECK (state IN ('action_required', 'awaiting_payment', 'cancelled', 'completed',
        'expired', 'failed', 'needs_review', 'running', 'unwinding')),
    CONSTRAINT checkouts_due_reason_check CHECK (due_reason IN ('scheduled', 'stalled')),
    CONSTRAINT checkouts_ending_check CHECK (ending IN ('cancelled', 'expired', 'failed')),
    CONSTRAINT checkouts_phase_check CHECK (phase >= 0),
    CONSTRAINT checkouts_completed_check CHECK (state <> 'completed' OR phase > 0),
    CONSTRAINT checkouts_undone_check CHECK (state NOT IN ('failed', 'cancelled', 'expired') OR phase = 0),
    CONSTRAINT checkouts_ended_check CHECK ((ended_at IS NULL) = (state IN ('action_required', 'awaiting_payment',
        'needs_review', 'running', 'unwinding'))),
    CONSTRAINT checkouts_due_check CHECK ((due_at IS NULL) = (due_reason IS NULL)),
    CONSTRAINT checkouts_line_count_check CHECK (line_count >= 0),
    CONSTRAINT checkouts_review_check CHECK ((review IS NOT NULL) = (state = 'needs_review')),
    CONSTRAINT checkouts_owner_length_check CHECK (char_length(owner) <= 255),
    CONSTRAINT checkouts_reference_length_check CHECK (char_length(reference) <= 255)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX checkouts_active_cart_key ON checkouts (cart_id)
    WHERE state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding');
CREATE INDEX checkouts_cart_id_idx ON checkouts (cart_id);
CREATE INDEX checkouts_ended_at_idx ON checkouts (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX checkouts_expiring_idx ON checkouts (expires_at) WHERE pivot_at IS NULL
    AND state IN ('running', 'awaiting_payment', 'action_required');
CREATE INDEX checkouts_owner_id_idx ON checkouts (owner, id);
CREATE INDEX checkouts_scheduled_idx ON checkouts (due_at) WHERE due_reason = 'scheduled';
CREATE INDEX checkouts_stalled_idx ON checkouts (state, phase, sent_at) WHERE due_reason = 'stalled';
CREATE INDEX checkouts_state_id_idx ON checkouts (state, id);

CREATE TABLE checkout_lines (
    checkout_id uuid NOT NULL,
    line integer NOT NULL,
    variant_id bigint NOT NULL,
    CONSTRAINT checkout_lines_pkey PRIMARY KEY (checkout_id, line),
    CONSTRAINT checkout_lines_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id)
);

CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    checkout_id uuid NOT NULL,
    kind text NOT NULL,
    phase text,
    data jsonb,
    at timestamptz DEFAULT now() NOT NULL,
    owner text NOT NULL,
    transaction_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (checkout_id, id),
    CONSTRAINT events_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id)
) PARTITION BY RANGE (checkout_id);
CREATE INDEX events_at_idx ON events USING brin (at) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX events_feed_idx ON events (owner, transaction_id, id);
CREATE INDEX events_redelivered_idx ON events (at) WHERE kind = 'sweep.redelivered';

CREATE TABLE idempotency_keys (
    owner text NOT NULL,
    key text NOT NULL,
    action text NOT NULL,
    fingerprint text NOT NULL,
    checkout_id uuid NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (owner, key),
    CONSTRAINT idempotency_keys_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id),
    CONSTRAINT idempotency_keys_key_length_check CHECK (char_length(key) <= 255)
);
CREATE INDEX idempotency_keys_checkout_id_idx ON idempotency_keys (checkout_id);

CREATE TABLE rejected_messages (
    id bigint GENERATED ALWAYS AS IDENTITY,
    queue text NOT NULL,
    body text NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    received_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT rejected_messages_pkey PRIMARY KEY (id)
);
CREATE INDEX rejected_messages_received_at_idx ON rejected_messages (received_at);
