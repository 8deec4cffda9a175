-- What other nodes must forget. The sequence is the database's own.
CREATE TABLE changes (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic TEXT NOT NULL,
    at BIGINT NOT NULL
);
