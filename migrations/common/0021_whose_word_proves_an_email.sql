-- The connection whose provider asserts an account's email: whether it counts is decided anew whenever it matters. Empty
-- where the operator declared it. Accounts without a password have it from their provider.
ALTER TABLE accounts ADD COLUMN email_connection_id TEXT;

UPDATE accounts SET email_connection_id = (
    SELECT p.connection_id FROM profiles p
    WHERE p.account_id = accounts.id AND p.connection_id IS NOT NULL AND p.email_canonical = accounts.email_canonical
    ORDER BY p.email_verified DESC, p.created_at, p.id LIMIT 1
) WHERE NOT EXISTS (SELECT 1 FROM profiles q WHERE q.account_id = accounts.id AND q.connection_id IS NULL)
    -- An account that a provider made may have got its password in a merge.
    OR EXISTS (SELECT 1 FROM link_ledger l WHERE l.account_id = accounts.id AND l.kind = 'merged');

-- Of an account that has only identity providers, none of which says this email now, nobody knows who vouched for it.
UPDATE accounts SET email_verified = FALSE
WHERE email_connection_id IS NULL AND EXISTS (SELECT 1 FROM profiles p WHERE p.account_id = accounts.id)
    AND NOT EXISTS (SELECT 1 FROM profiles q WHERE q.account_id = accounts.id AND q.connection_id IS NULL);

-- Whose accounts an attempt to link has proved, so that it ends with everything else of them, and that it ended so.
ALTER TABLE link_attempts ADD COLUMN near_account_id TEXT;
ALTER TABLE link_attempts ADD COLUMN far_account_id TEXT;
ALTER TABLE link_attempts ADD COLUMN ended_with_account BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX link_attempts_near_account ON link_attempts (near_account_id);
CREATE INDEX link_attempts_far_account ON link_attempts (far_account_id);
