-- Jobs that one node at a time runs: which node has the turn, and until when.
CREATE TABLE turns (
    job TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL
);

-- The files of exported days of the audit log. A row comes with the first records that the broker removes because they
-- stand in the file. A day has a second part when its first file was moved away and records of the day were left.
CREATE TABLE exported_days (
    day TEXT NOT NULL,
    part BIGINT NOT NULL,
    records BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (day, part)
);
