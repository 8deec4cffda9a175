-- Accounts, their profiles, passwords and sessions.

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT REFERENCES organizations (id),
    username TEXT,
    username_key TEXT UNIQUE,
    email TEXT,
    email_canonical TEXT,
    email_verified BOOLEAN NOT NULL,
    name TEXT,
    given_name TEXT,
    family_name TEXT,
    phone TEXT,
    enabled BOOLEAN NOT NULL,
    break_glass BOOLEAN NOT NULL,
    profile_count BIGINT NOT NULL CHECK (profile_count >= 0 AND profile_count <= 25),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CHECK ((username IS NULL) = (username_key IS NULL)),
    CHECK ((email IS NULL) = (email_canonical IS NULL))
);
CREATE INDEX accounts_by_email ON accounts (organization_id, email_canonical);

CREATE TABLE account_roles (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    role TEXT NOT NULL,
    PRIMARY KEY (account_id, role)
);

-- A local profile has the issuer 'local' and its account as subject, so that the three rules below hold for it too:
-- one account for a subject, one profile of a provider on an account, one profile for a subject in an organization.
CREATE TABLE profiles (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    organization_id TEXT REFERENCES organizations (id),
    connection_id TEXT REFERENCES connections (id),
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    email TEXT,
    email_verified BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    CHECK ((connection_id IS NULL) = (issuer = 'local')),
    UNIQUE (connection_id, issuer, subject),
    UNIQUE (account_id, issuer),
    UNIQUE (organization_id, issuer, subject)
);

CREATE TABLE passwords (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    hash TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- Failed and unfinished guesses, by what is guessed at ('account', 'network', 'browser').
CREATE TABLE guesses (
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    failures BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (scope, subject)
);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    organization_id TEXT REFERENCES organizations (id),
    profile_id TEXT NOT NULL,
    connection_id TEXT,
    authenticated_at BIGINT NOT NULL,
    amr TEXT NOT NULL,
    acr TEXT,
    upstream_sid TEXT,
    upstream_id_token_sealed TEXT,
    user_agent TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    idle_until BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX sessions_by_account ON sessions (account_id);
CREATE INDEX sessions_by_profile ON sessions (profile_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
