-- Batches that writers of the catalog have sent.

CREATE TABLE catalog_changes (
    id uuid NOT NULL,
    owner text NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    reference text,
    idempotency_key text NOT NULL,
    fingerprint text NOT NULL,
    results jsonb NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT catalog_changes_pkey PRIMARY KEY (id),
    CONSTRAINT catalog_changes_kind_check CHECK (kind IN ('prices', 'stock', 'transfers', 'variants')),
    CONSTRAINT catalog_changes_owner_length_check CHECK (char_length(owner) <= 255),
    CONSTRAINT catalog_changes_actor_length_check CHECK (char_length(actor) <= 255),
    CONSTRAINT catalog_changes_idempotency_key_length_check CHECK (char_length(idempotency_key) <= 255),
    CONSTRAINT catalog_changes_reason_length_check CHECK (char_length(reason) <= 1000),
    CONSTRAINT catalog_changes_reference_length_check CHECK (char_length(reference) <= 255)
);
CREATE UNIQUE INDEX catalog_changes_owner_idempotency_key_idx ON catalog_changes (owner, idempotency_key);
