-- Mails that wait to be sent. Recipient and text are sealed, and gone once a mail is sent or given up.
CREATE TABLE mails (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT,
    account_id TEXT,
    purpose TEXT NOT NULL,
    content_sealed TEXT NOT NULL,
    dedup_key TEXT UNIQUE,
    created_at BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    claim TEXT,
    claimed_until BIGINT NOT NULL,
    finished_at BIGINT,
    outcome TEXT
);
CREATE INDEX mails_waiting ON mails (next_attempt_at) WHERE finished_at IS NULL;
CREATE INDEX mails_by_claim ON mails (claim);
CREATE INDEX mails_by_end ON mails (finished_at);

-- How many mails an address got for a purpose, by hour and by day; the address stands here as a tag.
CREATE TABLE mail_counts (
    subject TEXT NOT NULL,
    span TEXT NOT NULL,
    began BIGINT NOT NULL,
    mails BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (subject, span, began)
);
CREATE INDEX mail_counts_by_expiry ON mail_counts (expires_at);
