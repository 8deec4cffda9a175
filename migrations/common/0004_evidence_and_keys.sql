-- The audit log and the broker's own signing keys.

CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT,
    at BIGINT NOT NULL,
    actor TEXT,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    receipt TEXT,
    connection_id TEXT,
    app_id TEXT,
    detail TEXT
);
CREATE INDEX audit_by_organization ON audit (organization_id, id);
CREATE INDEX audit_by_receipt ON audit (receipt);

-- Refusals before anything was proven, counted by reason, network and minute.
CREATE TABLE audit_floods (
    reason TEXT NOT NULL,
    network TEXT NOT NULL,
    minute BIGINT NOT NULL,
    refusals BIGINT NOT NULL,
    audit_id TEXT,
    PRIMARY KEY (reason, network, minute)
);

CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    private_sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    signs_until BIGINT,
    published_until BIGINT,
    verifies_until BIGINT
);
