-- Partitions of the tables that grow with checkouts, by the month in which a checkout began: its id is a UUIDv7, whose
-- first 48 bits are its milliseconds. They are in a schema in which no role has rights: all go through the tables.

CREATE SCHEMA partitions;

CREATE TABLE detached_months (
    month date NOT NULL,
    from_id uuid NOT NULL,
    until_id uuid NOT NULL,
    detached_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT detached_months_pkey PRIMARY KEY (month)
);

-- The smallest UUIDv7 of a month that begins at midnight UTC.
CREATE FUNCTION first_id_of(month date) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CAST(rpad(lpad(to_hex(CAST(extract(epoch FROM CAST(month AS timestamp) AT TIME ZONE 'UTC') * 1000 AS bigint)),
                          12, '0'), 32, '0') AS uuid)
$$;

-- Makes the partition of one month and returns how many rows of the default partition are moved into it. The caller has
-- locked the tables. Rows are moved by the owner alone: the trigger that keeps history is off in between, for nobody
-- else, as all of it is one transaction; so are foreign keys to the table, which are checked anew.
CREATE FUNCTION make_partition(parent regclass, month date) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    table_name text := (SELECT relname FROM pg_class WHERE oid = parent);
    own text := format('partitions.%I', table_name || to_char(month, '_YYYY_MM'));
    rest text := format('partitions.%I', table_name || '_default');
    from_id uuid := first_id_of(month);
    until_id uuid := first_id_of(CAST(month + interval '1 month' AS date));
    columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                     WHERE attrelid = parent AND attnum > 0 AND NOT attisdropped);
    foreign_keys text[] := ARRAY[]::text[];
    foreign_key record;
    misplaced boolean;
    moved bigint := 0;
BEGIN
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', own, parent);
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE checkout_id >= $1 AND checkout_id < $2)', rest)
        INTO misplaced USING from_id, until_id;
    IF misplaced THEN
        FOR foreign_key IN SELECT CAST(conrelid AS regclass) AS referrer, conname, pg_get_constraintdef(oid) AS definition
            FROM pg_constraint WHERE confrelid = parent AND contype = 'f' AND conparentid = 0 LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', foreign_key.referrer, foreign_key.conname);
            foreign_keys := foreign_keys || format('ALTER TABLE %s ADD CONSTRAINT %I %s', foreign_key.referrer,
                                                   foreign_key.conname, foreign_key.definition);
        END LOOP;
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER append_only', rest);
        EXECUTE format('WITH moved AS (DELETE FROM %s WHERE checkout_id >= $1 AND checkout_id < $2 RETURNING %s)'
                       ' INSERT INTO %s (%2$s) SELECT %2$s FROM moved', rest, columns, own) USING from_id, until_id;
        GET DIAGNOSTICS moved = ROW_COUNT;
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER append_only', rest);
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', parent, own, from_id, until_id);
    -- Triggers of rows come with the table, those of TRUNCATE do not.
    EXECUTE format('CREATE TRIGGER keep_partition BEFORE TRUNCATE ON %s FOR EACH STATEMENT'
                   ' EXECUTE FUNCTION append_only_guard()', own);
    FOR i IN 1 .. cardinality(foreign_keys) LOOP
        EXECUTE foreign_keys[i];
    END LOOP;
    RETURN moved;
END $$;

-- The default partitions have rows without a partition of their month, and movements without a checkout. Then this month
-- and the next three; `checkout partitions create` makes those that follow.
DO $$ DECLARE
    this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['events', 'stock_movements'] LOOP
        EXECUTE format('CREATE TABLE partitions.%I PARTITION OF %I DEFAULT', parent || '_default', parent);
        EXECUTE format('CREATE TRIGGER keep_partition BEFORE TRUNCATE ON partitions.%I FOR EACH STATEMENT'
                       ' EXECUTE FUNCTION append_only_guard()', parent || '_default');
        FOR i IN 0 .. 3 LOOP
            PERFORM make_partition(CAST(parent AS regclass), CAST(this_month + make_interval(months => i) AS date));
        END LOOP;
    END LOOP;
END $$;
