-- What a record of the audit log is about, beside who did it: an account, a session, a connection, ....
-- Older records have none.
ALTER TABLE audit ADD COLUMN target_kind TEXT;
ALTER TABLE audit ADD COLUMN target_id TEXT;
CREATE INDEX audit_of_target ON audit (COALESCE(organization_id, ''), target_kind, target_id, id)
    WHERE target_id IS NOT NULL;
