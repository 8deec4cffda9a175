-- What was linked and undone is never changed and never removed.
CREATE FUNCTION refuse_to_change_the_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the link ledger is append-only';
END
$$;
CREATE TRIGGER link_ledger_is_not_changed BEFORE UPDATE OR DELETE ON link_ledger
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_the_ledger();
