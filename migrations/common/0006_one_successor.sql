-- One key of an algorithm has no successor: nodes that start together on an empty database make one key, not one each.
-- Of several, the newest stays; the others sign no longer, and remain published for a year.
UPDATE signing_keys
SET signs_until = signs_from, published_until = signs_from + 31536000000000, verifies_until = signs_from + 31536000000000
WHERE signs_until IS NULL AND EXISTS (
    SELECT 1 FROM signing_keys newer
    WHERE newer.algorithm = signing_keys.algorithm AND newer.signs_until IS NULL
    AND (newer.signs_from > signing_keys.signs_from OR (newer.signs_from = signing_keys.signs_from AND newer.id > signing_keys.id))
);
CREATE UNIQUE INDEX signing_keys_without_successor ON signing_keys (algorithm) WHERE signs_until IS NULL;
