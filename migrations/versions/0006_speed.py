"""Speed: the guard of a cart's own row asks less, and one index fewer is kept up at each step of a checkout."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CART_GUARD = """
CREATE OR REPLACE FUNCTION cart_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    touched uuid[];
    holder record;
    sold record;
BEGIN
    IF TG_TABLE_NAME = 'carts' THEN
        SELECT id, cart_id, expires_at, phase INTO holder FROM checkouts
            WHERE cart_id = OLD.id AND state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding');
    ELSE
        touched := CASE TG_OP WHEN 'INSERT' THEN ARRAY[NEW.cart_id] WHEN 'DELETE' THEN ARRAY[OLD.cart_id]
                   ELSE ARRAY[OLD.cart_id, NEW.cart_id] END;
        PERFORM 1 FROM carts WHERE id = ANY(touched) ORDER BY id FOR NO KEY UPDATE;
        SELECT id, cart_id, expires_at, phase INTO holder FROM checkouts
            WHERE cart_id = ANY(touched) AND state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding') LIMIT 1;
    END IF;
    IF FOUND THEN
        -- The one change let through: phase 7 completes the cart of the order it has just placed.
        -- Nested: a line has no state, and PL/pgSQL looks all the fields of an expression up.
        IF TG_TABLE_NAME = 'carts' AND TG_OP = 'UPDATE' THEN
            IF holder.phase = 6 AND OLD.state = 'open' AND NEW.state = 'completed' THEN
                sold := OLD;
                sold.state := NEW.state;
                sold.updated_at := NEW.updated_at;
                IF sold IS NOT DISTINCT FROM NEW
                   AND EXISTS (SELECT FROM orders WHERE checkout_id = holder.id AND state = 'placed') THEN
                    RETURN NEW;
                END IF;
            END IF;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'CK001',
            MESSAGE = format('Cart %s is locked by checkout %s, which expires at %s.',
                             holder.cart_id, holder.id, holder.expires_at),
            DETAIL = jsonb_build_object('cart_id', holder.cart_id, 'checkout_id', holder.id,
                                        'expires_at', holder.expires_at)::text,
            HINT = 'Wait until the checkout has ended, or cancel it; then change the cart.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$
"""

FORMER_CART_GUARD = """
CREATE OR REPLACE FUNCTION cart_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    touched uuid[];
    holder record;
BEGIN
    IF TG_TABLE_NAME = 'carts' THEN
        touched := ARRAY[OLD.id];
    ELSE
        touched := CASE TG_OP WHEN 'INSERT' THEN ARRAY[NEW.cart_id] WHEN 'DELETE' THEN ARRAY[OLD.cart_id]
                   ELSE ARRAY[OLD.cart_id, NEW.cart_id] END;
    END IF;
    PERFORM 1 FROM carts WHERE id = ANY(touched) ORDER BY id FOR NO KEY UPDATE;
    SELECT id, cart_id, expires_at, phase INTO holder FROM checkouts
        WHERE cart_id = ANY(touched) AND state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding') LIMIT 1;
    IF FOUND THEN
        -- The one change let through: phase 7 completes the cart of the order it has just placed.
        -- Nested: a line has no state, and PL/pgSQL looks all the fields of an expression up.
        IF TG_TABLE_NAME = 'carts' AND TG_OP = 'UPDATE' THEN
            IF holder.phase = 6 AND OLD.state = 'open' AND NEW.state = 'completed'
               AND to_jsonb(OLD) - 'state' - 'updated_at' = to_jsonb(NEW) - 'state' - 'updated_at'
               AND EXISTS (SELECT FROM orders WHERE checkout_id = holder.id AND state = 'placed') THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'CK001',
            MESSAGE = format('Cart %s is locked by checkout %s, which expires at %s.',
                             holder.cart_id, holder.id, holder.expires_at),
            DETAIL = jsonb_build_object('cart_id', holder.cart_id, 'checkout_id', holder.id,
                                        'expires_at', holder.expires_at)::text,
            HINT = 'Wait until the checkout has ended, or cancel it; then change the cart.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$
"""

ACTIVE = "state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding')"


def upgrade() -> None:
    """Contract the schema: what no release asks for any more. Functions are replaced in one step."""
    op.execute(CART_GUARD)
    # `checkouts_state_id_idx` answers the same questions.
    op.drop_index("checkouts_active_idx", table_name="checkouts", if_exists=True)


def downgrade() -> None:
    """Go back."""
    op.create_index("checkouts_active_idx", "checkouts", ["state"], postgresql_where=sa.text(ACTIVE))
    op.execute(FORMER_CART_GUARD)
