-- Reservations, and the ledger of stock.

CREATE TABLE reservations (
    id bigint GENERATED ALWAYS AS IDENTITY,
    checkout_id uuid NOT NULL,
    line integer NOT NULL,
    variant_id bigint NOT NULL,
    location_id bigint NOT NULL,
    quantity integer NOT NULL,
    state text DEFAULT 'held' NOT NULL,
    CONSTRAINT reservations_pkey PRIMARY KEY (id),
    CONSTRAINT reservations_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id),
    CONSTRAINT reservations_variant_id_location_id_fkey FOREIGN KEY (variant_id, location_id)
        REFERENCES stock_levels (variant_id, location_id),
    CONSTRAINT reservations_state_check CHECK (state IN ('committed', 'held', 'released')),
    CONSTRAINT reservations_quantity_check CHECK (quantity > 0)
);
CREATE UNIQUE INDEX reservations_checkout_id_line_location_id_idx ON reservations (checkout_id, line, location_id);
CREATE INDEX reservations_held_checkout_idx ON reservations (checkout_id) WHERE state = 'held';

CREATE TABLE stock_movements (
    id bigint GENERATED ALWAYS AS IDENTITY,
    variant_id bigint NOT NULL,
    location_id bigint NOT NULL,
    kind text NOT NULL,
    quantity bigint NOT NULL,
    checkout_id uuid,
    at timestamptz DEFAULT now() NOT NULL,
    change_id uuid,
    CONSTRAINT stock_movements_checkout_id_id_key UNIQUE NULLS NOT DISTINCT (checkout_id, id),
    CONSTRAINT stock_movements_variant_id_location_id_fkey FOREIGN KEY (variant_id, location_id)
        REFERENCES stock_levels (variant_id, location_id),
    CONSTRAINT stock_movements_checkout_id_fkey FOREIGN KEY (checkout_id) REFERENCES checkouts (id),
    CONSTRAINT stock_movements_kind_check CHECK (kind IN ('adjust', 'balance', 'receive', 'release', 'reserve',
        'restock', 'sell')),
    CONSTRAINT stock_movements_sign_check CHECK (quantity <> 0 AND CASE kind WHEN 'receive' THEN quantity > 0
        WHEN 'reserve' THEN quantity > 0 WHEN 'restock' THEN quantity > 0
        WHEN 'release' THEN quantity < 0 WHEN 'sell' THEN quantity < 0 ELSE true END),
    CONSTRAINT stock_movements_checkout_check 
        CHECK ((checkout_id IS NULL) = (kind IN ('receive', 'adjust', 'balance', 'restock'))),
    CONSTRAINT stock_movements_change_check CHECK (CASE kind WHEN 'restock' THEN change_id IS NOT NULL
        WHEN 'receive' THEN true WHEN 'adjust' THEN true ELSE change_id IS NULL END)
) PARTITION BY RANGE (checkout_id);
CREATE INDEX stock_movements_variant_id_location_id_idx ON stock_movements (variant_id, location_id);
CREATE UNIQUE INDEX stock_movements_restock_key ON stock_movements (checkout_id, change_id, variant_id, location_id)
    NULLS NOT DISTINCT WHERE kind = 'restock';
