-- Connections that replace others: by which claims people are recognized, and whose place was taken.

-- The values of a connection's kept claims, as its provider's tokens had them at the last sign-in.
CREATE TABLE profile_claims (
    profile_id TEXT NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    claim TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (profile_id, claim)
);
CREATE INDEX profile_claims_by_value ON profile_claims (organization_id, claim, value);

-- A profile's place is taken through a connection once, also if that was undone. The identity that had it is kept for a
-- while, so that whoever comes by it again is shown the way. Neither profile need be there any more.
CREATE TABLE replaced_profiles (
    connection_id TEXT NOT NULL REFERENCES connections (id),
    old_profile_id TEXT NOT NULL,
    new_profile_id TEXT NOT NULL,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    old_issuer TEXT NOT NULL,
    old_subject TEXT NOT NULL,
    replaced_at BIGINT NOT NULL,
    PRIMARY KEY (connection_id, old_profile_id)
);
CREATE INDEX replaced_profiles_by_old_profile ON replaced_profiles (old_profile_id, replaced_at);
CREATE INDEX replaced_profiles_by_identity ON replaced_profiles (organization_id, old_issuer, old_subject, replaced_at);
CREATE INDEX replaced_profiles_by_time ON replaced_profiles (replaced_at);
