-- Who this database is to the others of its group; see group.go.
ALTER TABLE meta ADD COLUMN node TEXT NOT NULL DEFAULT '';
UPDATE meta SET node = lower(hex(randomblob(8)));

-- What an open day's clients are hashed with: the name of the group's secret, ''
-- for the salt of this database.
ALTER TABLE open_days ADD COLUMN hashed TEXT NOT NULL DEFAULT '';

-- The others of the group, and when the newest of their counts that were taken in
-- here were made, in seconds since 1970.
CREATE TABLE members (
	node TEXT PRIMARY KEY,
	made INTEGER NOT NULL
) WITHOUT ROWID;
