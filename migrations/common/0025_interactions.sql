-- Interactions: whatever keeps one person here for more than one page, from the first thing that they prove. One table
-- takes the place of proven_flows and link_attempts, which stay until the next release: nodes of the one before use them.

CREATE TABLE interactions (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT REFERENCES organizations (id),
    -- The accounts that were proved in it: its subject, and the chosen side of a link.
    account_id TEXT,
    chosen_account_id TEXT,
    state_sealed TEXT NOT NULL,
    revision BIGINT NOT NULL,
    -- When what it waits for began, and when it is over.
    waits_since BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- When it ended, and why: it was answered or burned, its time was over, or everything of an account ended.
    ended_at BIGINT,
    ended_by TEXT
);
CREATE INDEX interactions_by_expiry ON interactions (expires_at);
CREATE INDEX interactions_by_account ON interactions (account_id);
CREATE INDEX interactions_by_chosen_account ON interactions (chosen_account_id);
