-- The durable queue: what is done after a transaction, because of what that transaction wrote. The payload is sealed, and
-- gone once a job is done or given up. `due_at` is when a worker may take a job: a claim moves it to the end of the lease.
-- `noted_at` is when `due_at` was written; `turn` is the order in which due jobs are taken, fair between organizations.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    payload_version BIGINT NOT NULL,
    payload_sealed TEXT NOT NULL,
    organization_id TEXT,
    account_id TEXT,
    dedup_key TEXT,
    created_at BIGINT NOT NULL,
    useful_until BIGINT NOT NULL,
    noted_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    claim TEXT,
    last_error TEXT,
    finished_at BIGINT,
    outcome TEXT,
    UNIQUE (name, dedup_key),
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX jobs_due ON jobs (name, due_at) WHERE finished_at IS NULL;
CREATE INDEX jobs_noted ON jobs (name, noted_at) WHERE finished_at IS NULL;
CREATE INDEX jobs_in_turn ON jobs (name, turn, id) WHERE finished_at IS NULL;
CREATE INDEX jobs_of_organization ON jobs (name, COALESCE(organization_id, ''), turn) WHERE finished_at IS NULL;
CREATE INDEX jobs_useful ON jobs (useful_until) WHERE finished_at IS NULL;
CREATE INDEX jobs_over ON jobs (outcome, finished_at) WHERE outcome IS NOT NULL;

-- Mails are jobs from now on. What waits in `mails` was written by a node of before, and is not read any more; the table
-- goes in a later release.
