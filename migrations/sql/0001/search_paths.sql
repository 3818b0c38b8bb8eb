-- Functions resolve names in the schema of the tables, and never by a session's search_path: else they would read a
-- table of the same name that is temporary, or of another schema. Unless it is named, `pg_temp` comes first. The schema
-- is the one in which the functions have just been created: `public`, unless the owner's connection says otherwise.

DO $$ DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'normalize_names', 'cart_guard', 'cart_lines_guard', 'append_only_guard',
        'price_lock_guard', 'checkout_guard', 'frozen_guard', 'transition_guard',
        'owner_move_guard', 'refund_guard', 'change_line_guard'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
    END LOOP;
    FOREACH name IN ARRAY ARRAY['make_partition(regclass, date)', 'first_id_of(date)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
    END LOOP;
END $$;
