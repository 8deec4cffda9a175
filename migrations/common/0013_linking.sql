-- Linking: attempts, the ledger, accounts that were merged, identities that are expected, and links to set a password.

-- The account that this one was merged into. It signs nobody in; its id and username stay reserved.
ALTER TABLE accounts ADD COLUMN merged_into TEXT REFERENCES accounts (id);
CREATE INDEX accounts_by_survivor ON accounts (merged_into);

-- The compared form of a profile's email, by which accounts of one person are found.
ALTER TABLE profiles ADD COLUMN email_canonical TEXT;
UPDATE profiles SET email_canonical =
    (SELECT a.email_canonical FROM accounts a WHERE a.id = profiles.account_id AND a.email = profiles.email);
CREATE INDEX profiles_by_email ON profiles (organization_id, email_canonical);

-- The profile by which the person had signed in; unknown for what was granted before this column was there.
ALTER TABLE grants ADD COLUMN profile_id TEXT;

-- One attempt to link two sides; what was proved so far is sealed. Each change names the revision that it stands on.
CREATE TABLE link_attempts (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    state_sealed TEXT NOT NULL,
    revision BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX link_attempts_by_expiry ON link_attempts (expires_at);

-- What was linked, merged, unlinked and undone. Rows are only ever added; what undoes one names it, and only one does.
CREATE TABLE link_ledger (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    other_account_id TEXT REFERENCES accounts (id),
    profile_id TEXT,
    connection_id TEXT,
    actor TEXT NOT NULL,
    undoes TEXT UNIQUE REFERENCES link_ledger (id),
    moved TEXT NOT NULL,
    sides_sealed TEXT NOT NULL
);
CREATE INDEX link_ledger_by_account ON link_ledger (account_id, id);
CREATE INDEX link_ledger_by_other_account ON link_ledger (other_account_id, id);

-- Whom the next matching identity of a connection signs in to, once.
CREATE TABLE expected_identities (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    connection_id TEXT NOT NULL REFERENCES connections (id),
    claim TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    consumed_at BIGINT
);
CREATE UNIQUE INDEX expected_identities_waiting ON expected_identities (connection_id, claim, value)
    WHERE consumed_at IS NULL;

-- Links by which a password is set, by the hash of their token.
CREATE TABLE password_links (
    hash TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX password_links_by_account ON password_links (account_id);
CREATE INDEX password_links_by_expiry ON password_links (expires_at);
