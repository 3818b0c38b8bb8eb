"""Order locking: promotions, coupons, taxes, exchange rates, and price locks that hold what they decided.

What was locked and ordered before had no discount, tax or shipping, and says so.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: The equation of a line, as of this revision and before it.
EQUATION = (
    "subtotal_minor = unit_price_minor * quantity AND discount_minor BETWEEN 0 AND subtotal_minor"
    " AND tax_minor >= 0 AND total_minor = subtotal_minor - discount_minor + CASE WHEN tax_included THEN 0 ELSE tax_minor END"
)
LINE_TOTALS = {
    "order_lines": f"quantity > 0 AND {EQUATION}",
    "price_lock_lines": f"unit_price_minor >= 0 AND {EQUATION}",
}
FORMER_TOTALS = {
    "order_lines": "quantity > 0 AND total_minor = unit_price_minor * quantity",
    "price_lock_lines": "unit_price_minor >= 0 AND total_minor = unit_price_minor * quantity",
}


def upgrade() -> None:
    """Expand the schema."""
    op.create_table(
        "exchange_rates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("base", sa.CHAR(length=3), nullable=False),
        sa.Column("quote", sa.CHAR(length=3), nullable=False),
        sa.Column("rate", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("rate > 0", name=op.f("exchange_rates_rate_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("exchange_rates_pkey")),
    )
    op.create_index(
        op.f("exchange_rates_base_quote_source_observed_at_idx"),
        "exchange_rates",
        ["base", "quote", "source", "observed_at"],
        unique=True,
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("percent", sa.Numeric(precision=7, scale=4), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.CHAR(length=3), nullable=True),
        sa.Column("minimum_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("skus", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("categories", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("combines", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("automatic", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint(
            "CASE kind WHEN 'percentage' THEN percent IS NOT NULL WHEN 'fixed_amount' THEN amount_minor IS NOT NULL AND currency IS NOT NULL ELSE true END",
            name=op.f("promotions_kind_check"),
        ),
        sa.CheckConstraint("amount_minor >= 0 AND minimum_minor >= 0", name=op.f("promotions_amounts_check")),
        sa.CheckConstraint("char_length(title) <= 1000", name=op.f("promotions_title_length_check")),
        sa.CheckConstraint("percent BETWEEN 0 AND 100", name=op.f("promotions_percent_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("promotions_pkey")),
    )
    op.create_index(
        "promotions_automatic_idx", "promotions", ["id"], unique=False, postgresql_where=sa.text("automatic AND active")
    )
    op.create_table(
        "tax_rates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("country", sa.CHAR(length=2), nullable=False),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rate", sa.Numeric(precision=9, scale=6), nullable=False),
        sa.Column("on_shipping", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("reverse_charge", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("rate >= 0", name=op.f("tax_rates_rate_check")),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("tax_rates_range_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("tax_rates_pkey")),
    )
    op.create_index(
        "tax_rates_once_key",
        "tax_rates",
        ["country", "region", "category", "name", "valid_from"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "coupons",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("promotion_id", sa.BigInteger(), nullable=False),
        sa.Column("usage_limit", sa.Integer(), nullable=True),
        sa.Column("per_customer_limit", sa.Integer(), nullable=True),
        sa.Column("used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("code = upper(btrim(code)) AND code <> ''", name=op.f("coupons_code_check")),
        sa.CheckConstraint("char_length(code) <= 100", name=op.f("coupons_code_length_check")),
        sa.CheckConstraint(
            "used >= 0 AND (usage_limit IS NULL OR used <= usage_limit)", name=op.f("coupons_used_check")
        ),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotions.id"], name=op.f("coupons_promotion_id_fkey")),
        sa.PrimaryKeyConstraint("code", name=op.f("coupons_pkey")),
    )
    op.create_table(
        "redemptions",
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("redemptions_checkout_id_fkey")),
        sa.ForeignKeyConstraint(["code"], ["coupons.code"], name=op.f("redemptions_code_fkey")),
        sa.PrimaryKeyConstraint("checkout_id", "code", name=op.f("redemptions_pkey")),
    )
    op.create_index(
        "redemptions_customer_idx",
        "redemptions",
        ["code", "customer"],
        unique=False,
        postgresql_where=sa.text("returned_at IS NULL AND customer IS NOT NULL"),
    )
    op.add_column("cart_lines", sa.Column("tax_included", sa.Boolean(), nullable=True))
    op.add_column("cart_lines", sa.Column("discounts", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("cart_lines", sa.Column("taxes", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("carts", sa.Column("customer", sa.Text(), nullable=True))
    op.add_column(
        "carts", sa.Column("coupon_codes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("carts", sa.Column("tax_id", sa.Text(), nullable=True))
    op.add_column("carts", sa.Column("shipping_minor", sa.BigInteger(), nullable=True))
    op.add_column("carts", sa.Column("shipping_title", sa.Text(), nullable=True))
    op.add_column("carts", sa.Column("shipping_tax_included", sa.Boolean(), nullable=True))
    op.add_column("carts", sa.Column("shipping_taxes", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("checkouts", sa.Column("expected_hash", sa.Text(), nullable=True))
    op.add_column("checkouts", sa.Column("expected_lines", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("orders", sa.Column("shipping", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("price_locks", sa.Column("shipping", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("price_locks", sa.Column("base_currency", sa.CHAR(length=3), nullable=True))
    op.add_column("price_locks", sa.Column("exchange_rate", sa.Text(), nullable=True))
    op.add_column("price_locks", sa.Column("exchange_source", sa.Text(), nullable=True))
    op.add_column("price_locks", sa.Column("exchange_at", sa.Text(), nullable=True))
    op.add_column("price_locks", sa.Column("tax_id", sa.Text(), nullable=True))
    op.add_column("prices", sa.Column("tax_included", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    for table in ("order_lines", "price_lock_lines"):
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        op.execute(f"""
            ALTER TABLE {table} ADD tax_included boolean NOT NULL DEFAULT true, ADD subtotal_minor bigint,
                ADD discount_minor bigint NOT NULL DEFAULT 0, ADD tax_minor bigint NOT NULL DEFAULT 0,
                ADD discounts jsonb NOT NULL DEFAULT '[]', ADD taxes jsonb NOT NULL DEFAULT '[]'
        """)
        op.execute(f"UPDATE {table} SET subtotal_minor = total_minor")
        op.execute(f"""
            ALTER TABLE {table} ALTER subtotal_minor SET NOT NULL, ALTER tax_included DROP DEFAULT,
                ALTER discount_minor DROP DEFAULT, ALTER tax_minor DROP DEFAULT, ALTER discounts DROP DEFAULT,
                ALTER taxes DROP DEFAULT, DROP CONSTRAINT {table}_total_check, ADD CONSTRAINT {table}_total_check
                CHECK ({LINE_TOTALS[table]})
        """)
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    for table in ("orders", "price_locks"):
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        op.execute(f"""
            ALTER TABLE {table} ADD subtotal_minor bigint, ADD discount_minor bigint NOT NULL DEFAULT 0,
                ADD shipping_minor bigint NOT NULL DEFAULT 0, ADD tax_minor bigint NOT NULL DEFAULT 0
        """)
        op.execute(f"UPDATE {table} SET subtotal_minor = total_minor")
        op.execute(f"""
            ALTER TABLE {table} ALTER subtotal_minor SET NOT NULL, ALTER discount_minor DROP DEFAULT,
                ALTER shipping_minor DROP DEFAULT, ALTER tax_minor DROP DEFAULT
        """)
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    op.execute("ALTER TABLE price_locks ADD rounding text NOT NULL DEFAULT 'none'")
    op.execute("ALTER TABLE price_locks ALTER rounding DROP DEFAULT")


def downgrade() -> None:
    """Go back. Refused by the constraints where a discount or a tax has been locked since."""
    for table in ("order_lines", "price_lock_lines"):
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_total_check,"
            f" ADD CONSTRAINT {table}_total_check CHECK ({FORMER_TOTALS[table]})"
        )
    op.drop_column("prices", "tax_included")
    op.drop_column("price_locks", "rounding")
    op.drop_column("price_locks", "tax_id")
    op.drop_column("price_locks", "exchange_at")
    op.drop_column("price_locks", "exchange_source")
    op.drop_column("price_locks", "exchange_rate")
    op.drop_column("price_locks", "base_currency")
    op.drop_column("price_locks", "shipping")
    op.drop_column("price_locks", "tax_minor")
    op.drop_column("price_locks", "shipping_minor")
    op.drop_column("price_locks", "discount_minor")
    op.drop_column("price_locks", "subtotal_minor")
    op.drop_column("price_lock_lines", "taxes")
    op.drop_column("price_lock_lines", "discounts")
    op.drop_column("price_lock_lines", "tax_minor")
    op.drop_column("price_lock_lines", "discount_minor")
    op.drop_column("price_lock_lines", "subtotal_minor")
    op.drop_column("price_lock_lines", "tax_included")
    op.drop_column("orders", "shipping")
    op.drop_column("orders", "tax_minor")
    op.drop_column("orders", "shipping_minor")
    op.drop_column("orders", "discount_minor")
    op.drop_column("orders", "subtotal_minor")
    op.drop_column("order_lines", "taxes")
    op.drop_column("order_lines", "discounts")
    op.drop_column("order_lines", "tax_minor")
    op.drop_column("order_lines", "discount_minor")
    op.drop_column("order_lines", "subtotal_minor")
    op.drop_column("order_lines", "tax_included")
    op.drop_column("checkouts", "expected_lines")
    op.drop_column("checkouts", "expected_hash")
    op.drop_column("carts", "shipping_taxes")
    op.drop_column("carts", "shipping_tax_included")
    op.drop_column("carts", "shipping_title")
    op.drop_column("carts", "shipping_minor")
    op.drop_column("carts", "tax_id")
    op.drop_column("carts", "coupon_codes")
    op.drop_column("carts", "customer")
    op.drop_column("cart_lines", "taxes")
    op.drop_column("cart_lines", "discounts")
    op.drop_column("cart_lines", "tax_included")
    op.drop_index(
        "redemptions_customer_idx",
        table_name="redemptions",
        postgresql_where=sa.text("returned_at IS NULL AND customer IS NOT NULL"),
    )
    op.drop_table("redemptions")
    op.drop_table("coupons")
    op.drop_index("tax_rates_once_key", table_name="tax_rates")
    op.drop_table("tax_rates")
    op.drop_index("promotions_automatic_idx", table_name="promotions", postgresql_where=sa.text("automatic AND active"))
    op.drop_table("promotions")
    op.drop_index(op.f("exchange_rates_base_quote_source_observed_at_idx"), table_name="exchange_rates")
    op.drop_table("exchange_rates")
