-- Owners that move to another cell, or came from one (docs/cells.md).

CREATE TABLE owner_moves (
    owner text NOT NULL,
    id uuid NOT NULL,
    cell text NOT NULL,
    state text NOT NULL,
    facts jsonb DEFAULT '{}' NOT NULL,
    began_at timestamptz DEFAULT now() NOT NULL,
    changed_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT owner_moves_pkey PRIMARY KEY (owner),
    CONSTRAINT owner_moves_owner_length_check CHECK (char_length(owner) <= 255),
    CONSTRAINT owner_moves_cell_check CHECK (cell ~ '^[a-z][a-z0-9]{0,2}$' COLLATE "C"),
    CONSTRAINT owner_moves_state_check CHECK (state IN ('arrived', 'closed', 'draining', 'moved'))
);

-- Refuses what an owner's move excludes: new checkouts while it drains, and every change once it is closed. The triggers
-- exist only during a move (pipeline/operations/cells/gate.py), so that no other statement pays for them.
CREATE FUNCTION owner_move_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    changed jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
    moving record;
BEGIN
    SELECT m.cell, m.state INTO moving FROM owner_moves m
        WHERE m.state <> 'arrived' AND m.owner = CASE
            WHEN changed ? 'owner' THEN changed ->> 'owner'
            WHEN changed ? 'checkout_id' THEN (SELECT c.owner FROM checkouts c WHERE c.id = CAST(changed ->> 'checkout_id' AS uuid))
            ELSE (SELECT k.owner FROM carts k WHERE k.id = CAST(changed ->> 'cart_id' AS uuid)) END;
    IF FOUND AND (moving.state = 'draining' AND TG_TABLE_NAME = 'checkouts' AND TG_OP = 'INSERT'
                  OR moving.state = 'closed' OR moving.state = 'moved' AND TG_OP <> 'DELETE') THEN
        RAISE EXCEPTION USING ERRCODE = 'CK004',
            MESSAGE = format('The owner of this row of %s moves to cell %s.', TG_TABLE_NAME, moving.cell),
            HINT = 'Wait until it has moved, then send the request to that cell.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
