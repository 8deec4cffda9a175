-- What is over goes soon: codes an hour after their end, and sessions an hour after they have ended without use.

-- A code of an earlier release does not name its grant, so its row is all that recognizes it when it comes again: it stays
-- for as long as the grant. Nodes of that release write FALSE.
ALTER TABLE codes ADD COLUMN names_grant BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX codes_by_end ON codes (expires_at) WHERE names_grant;
DROP INDEX codes_by_expiry;

-- Refresh tokens go with their grants.
DROP INDEX refresh_tokens_by_expiry;

-- Sessions are removed by the time at which they end without further use.
CREATE INDEX sessions_by_idle ON sessions (idle_until);
DROP INDEX sessions_by_expiry;

-- A provider's logout message that names its session used to read every session.
CREATE INDEX sessions_by_upstream_sid ON sessions (upstream_sid) WHERE upstream_sid IS NOT NULL;

-- So did the apps that know a person, and the profiles of a connection by their subject.
CREATE INDEX subjects_by_account ON subjects (account_id);
CREATE INDEX profiles_by_subject ON profiles (connection_id, subject);
