-- The connection through which the person of a grant came, as its proof says it, where one statement can join it; empty
-- for a password. NULL on rows of earlier releases, for which the proof is read.
ALTER TABLE grants ADD COLUMN connection_id TEXT;
