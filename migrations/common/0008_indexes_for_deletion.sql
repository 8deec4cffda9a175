-- What a row is deleted with must find its children quickly: without these, a clean-up reads a whole table for each row.
CREATE INDEX codes_by_grant ON codes (grant_id);
CREATE INDEX proven_flows_by_session ON proven_flows (session_id);
