-- Organizations and what they own: domains, connections, apps.
-- Types are TEXT, BIGINT and BOOLEAN only; times are microseconds since 1970, spans are microseconds.

CREATE TABLE organizations (
    id TEXT NOT NULL PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    plan TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    linking BOOLEAN NOT NULL,
    routing TEXT NOT NULL,
    local_sign_in TEXT NOT NULL,
    session_idle BIGINT,
    session_max BIGINT,
    upstream_recheck BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE connections (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    handle TEXT NOT NULL,
    name TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    settings TEXT NOT NULL,
    secret_sealed TEXT,
    next_secret_sealed TEXT,
    secret_expires_at BIGINT,
    key_sealed TEXT,
    certificate TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, handle),
    UNIQUE (organization_id, id)
);
CREATE INDEX connections_by_handle ON connections (handle);

-- The last good metadata and keys of a connection's provider.
CREATE TABLE connection_memory (
    connection_id TEXT NOT NULL PRIMARY KEY REFERENCES connections (id),
    remembered TEXT NOT NULL,
    saved_at BIGINT NOT NULL
);

-- One owner a name, at every instant.
CREATE TABLE domains (
    name TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    proven_by TEXT NOT NULL,
    proven_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (organization_id, name)
);

CREATE TABLE domain_connections (
    organization_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (domain, connection_id),
    FOREIGN KEY (organization_id, domain) REFERENCES domains (organization_id, name),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connections (organization_id, id)
);

CREATE TABLE apps (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    client_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    secret_hash TEXT,
    next_secret_hash TEXT,
    settings TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX apps_by_organization ON apps (organization_id);
