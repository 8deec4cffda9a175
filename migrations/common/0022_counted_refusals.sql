-- Refusals that were counted in memory, beside those that were written one by one.
ALTER TABLE audit_floods ADD COLUMN counted BIGINT NOT NULL DEFAULT 0;
