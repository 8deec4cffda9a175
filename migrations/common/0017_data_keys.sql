-- The key of an account's personal data in the ledger, sealed. Without it, nobody can read them any more.
ALTER TABLE accounts ADD COLUMN data_key_sealed TEXT;
