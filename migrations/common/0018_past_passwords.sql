-- The last passwords of each account, so that none of them is chosen again.
CREATE TABLE past_passwords (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    hash TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, hash)
);
CREATE INDEX past_passwords_by_hash ON past_passwords (hash);
INSERT INTO past_passwords (account_id, hash, set_at) SELECT account_id, hash, changed_at FROM passwords;
