-- A code by mail proves anew who somebody is whose identity provider cannot be made to ask again.

-- When the person last did so in this session.
ALTER TABLE sessions ADD COLUMN confirmed_at BIGINT;

-- Whether the person is known to have been asked when they signed in.
ALTER TABLE sessions ADD COLUMN witnessed BOOLEAN NOT NULL DEFAULT FALSE;

-- The newest code of a session, as a keyed tag.
CREATE TABLE mail_codes (
    session_id TEXT NOT NULL PRIMARY KEY REFERENCES sessions (id),
    code_tag TEXT NOT NULL,
    tries BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX mail_codes_by_expiry ON mail_codes (expires_at);
