-- HTTP: API keys, sessions, stored responses, outbound webhooks; and heartbeats.

CREATE TABLE api_keys (
    id text NOT NULL,
    owner text NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    secret_hash bytea NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_owner_length_check CHECK (char_length(owner) <= 255),
    CONSTRAINT api_keys_scopes_check CHECK (scopes <@ ARRAY['admin', 'catalog', 'checkout', 'events', 'orders', 'prices'] AND scopes <> '{}')
);

CREATE TABLE admin_sessions (
    token_hash bytea NOT NULL,
    key_id text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT admin_sessions_pkey PRIMARY KEY (token_hash),
    CONSTRAINT admin_sessions_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id),
    CONSTRAINT admin_sessions_token_hash_check CHECK (octet_length(token_hash) = 32)
);
CREATE INDEX admin_sessions_expires_at_idx ON admin_sessions (expires_at);
CREATE INDEX admin_sessions_key_id_idx ON admin_sessions (key_id);

CREATE TABLE stored_responses (
    owner text NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    leased_until timestamptz NOT NULL,
    status smallint,
    headers jsonb DEFAULT '{}' NOT NULL,
    body text,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT stored_responses_pkey PRIMARY KEY (owner, key),
    CONSTRAINT stored_responses_key_length_check CHECK (char_length(key) <= 255),
    CONSTRAINT stored_responses_answered_check CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX stored_responses_created_at_idx ON stored_responses (created_at);

CREATE TABLE webhook_endpoints (
    id uuid NOT NULL,
    owner text,
    url text NOT NULL,
    secret text NOT NULL,
    kinds text[] NOT NULL,
    active boolean DEFAULT true NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_endpoints_owner_length_check CHECK (char_length(owner) <= 255),
    CONSTRAINT webhook_endpoints_url_length_check CHECK (char_length(url) <= 2000),
    CONSTRAINT webhook_endpoints_kinds_check CHECK (kinds <> '{}')
);

CREATE TABLE webhook_deliveries (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    checkout_id uuid NOT NULL,
    event_id bigint NOT NULL,
    endpoint_id uuid NOT NULL,
    status text DEFAULT 'pending' NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    due_at timestamptz DEFAULT now(),
    last_status smallint,
    last_error text,
    created_at timestamptz DEFAULT now() NOT NULL,
    ended_at timestamptz,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_deliveries_checkout_id_event_id_fkey FOREIGN KEY (checkout_id, event_id)
        REFERENCES events (checkout_id, id),
    CONSTRAINT webhook_deliveries_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints (id),
    CONSTRAINT webhook_deliveries_status_check CHECK (status IN ('dead_lettered', 'delivered', 'pending')),
    CONSTRAINT webhook_deliveries_due_check CHECK ((due_at IS NULL) = (status <> 'pending'))
);
CREATE INDEX webhook_deliveries_dead_lettered_idx ON webhook_deliveries (ended_at) WHERE status = 'dead_lettered';
CREATE INDEX webhook_deliveries_delivered_idx ON webhook_deliveries (ended_at) WHERE status = 'delivered';
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX webhook_deliveries_event_id_endpoint_id_idx ON webhook_deliveries (event_id, endpoint_id);

CREATE TABLE heartbeats (
    name text NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT heartbeats_pkey PRIMARY KEY (name)
);
