-- What is over goes soon: codes an hour after their end, sessions an hour after nobody used them any more.

-- Codes of earlier releases do not name their grant, so the row of one that was redeemed is all that recognizes it when it
-- comes again. It stays until the grant as it is now would end.
UPDATE codes SET expires_at = (SELECT g.expires_at FROM grants g WHERE g.id = codes.grant_id)
    WHERE used_at IS NOT NULL
    AND expires_at < (SELECT g.expires_at FROM grants g WHERE g.id = codes.grant_id);

-- Sessions are removed by the time at which they end without further use.
CREATE INDEX sessions_by_idle ON sessions (idle_until);
DROP INDEX sessions_by_expiry;

-- A provider's word that one of its sessions has ended named ours by reading all of them.
CREATE INDEX sessions_by_upstream_sid ON sessions (upstream_sid) WHERE upstream_sid IS NOT NULL;
