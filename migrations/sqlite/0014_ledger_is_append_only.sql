-- What was linked and undone is never changed and never removed.
CREATE TRIGGER link_ledger_is_not_changed BEFORE UPDATE ON link_ledger
BEGIN
    SELECT RAISE(ABORT, 'the link ledger is append-only');
END;
CREATE TRIGGER link_ledger_is_not_removed BEFORE DELETE ON link_ledger
BEGIN
    SELECT RAISE(ABORT, 'the link ledger is append-only');
END;
