-- Jobs that one node at a time does, and until when whose turn it is.
CREATE TABLE turns (
    job TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL
);
