-- Triggers normalise names too, for every client.

CREATE FUNCTION normalize_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'variants' THEN
        NEW.sku := normalize_name('seen', NEW.sku);
        NEW.category := nullif(normalize_name('folded', NEW.category), '');
        NEW.look_alike := normalize_name('look_alike', NEW.sku);
    ELSIF TG_TABLE_NAME = 'locations' THEN
        NEW.code := normalize_name('folded', NEW.code);
    ELSIF TG_TABLE_NAME = 'promotions' THEN
        NEW.skus := ARRAY(SELECT normalize_name('seen', sku) FROM unnest(NEW.skus) AS sku);
        NEW.categories := ARRAY(SELECT normalize_name('folded', category)
                                FROM unnest(NEW.categories) AS category);
    ELSIF TG_TABLE_NAME = 'coupons' THEN
        NEW.code := normalize_name('coupon', NEW.code);
    ELSIF TG_TABLE_NAME = 'redemptions' THEN
        NEW.customer := nullif(normalize_name('customer', NEW.customer), '');
    ELSIF TG_TABLE_NAME = 'tax_rates' THEN
        NEW.country := upper(NEW.country COLLATE "C");
        NEW.region := nullif(upper(btrim(NEW.region) COLLATE "C"), '');
        NEW.category := nullif(normalize_name('folded', NEW.category), '');
        NEW.name := normalize_name('seen', NEW.name);
        NEW.name_key := normalize_name('folded', NEW.name);
    END IF;
    RETURN NEW;
END $$;

-- Of the tables that a checkout writes, only redemptions have this trigger.
CREATE TRIGGER normalize_names BEFORE INSERT OR UPDATE OF sku, category, look_alike ON variants FOR EACH ROW
    EXECUTE FUNCTION normalize_names();
CREATE TRIGGER normalize_names BEFORE INSERT OR UPDATE OF code ON locations FOR EACH ROW
    EXECUTE FUNCTION normalize_names();
CREATE TRIGGER normalize_names BEFORE INSERT OR UPDATE OF skus, categories ON promotions FOR EACH ROW
    EXECUTE FUNCTION normalize_names();
CREATE TRIGGER normalize_names BEFORE INSERT OR UPDATE OF code ON coupons FOR EACH ROW
    EXECUTE FUNCTION normalize_names();
CREATE TRIGGER normalize_names BEFORE INSERT OR UPDATE OF country, region, category, name, name_key ON tax_rates
    FOR EACH ROW EXECUTE FUNCTION normalize_names();
CREATE TRIGGER normalize_names BEFORE INSERT OR UPDATE OF customer ON redemptions FOR EACH ROW
    EXECUTE FUNCTION normalize_names();
