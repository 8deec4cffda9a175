-- Accounts that administer the deployment; they belong to no organization.
CREATE TABLE operators (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    since BIGINT NOT NULL
);
