-- What other nodes must forget. The sequence is the database's own.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    at BIGINT NOT NULL
);
