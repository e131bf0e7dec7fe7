-- What makes the hashes of clients useless without this database; a number that
-- moves when paths are forgotten, so that nobody goes on with a stale id; and the
-- id of the next path.
CREATE TABLE meta (
	id        INTEGER PRIMARY KEY CHECK (id = 1),
	salt      BLOB NOT NULL,
	epoch     INTEGER NOT NULL,
	next_path INTEGER NOT NULL,
	node      TEXT NOT NULL -- who this database is to the others of its group; see group.go
);
INSERT INTO meta (id, salt, epoch, next_path, node) VALUES (1, randomblob(16), 0, 1, lower(hex(randomblob(8))));

-- How far a log was read, in decompressed bytes, and how it is known again: a
-- hash of its beginning and one of the bytes right before the offset.
CREATE TABLE logs (
	id          INTEGER PRIMARY KEY,
	head_length INTEGER NOT NULL,
	head        BLOB NOT NULL,
	read_to     INTEGER NOT NULL,
	tail_length INTEGER NOT NULL,
	tail        BLOB NOT NULL,
	seen        INTEGER NOT NULL -- when a file was last known by it
);

-- Compressed logs that did not change since they were read to their end: known
-- without reading them again.
CREATE TABLE unchanged (
	device   INTEGER NOT NULL,
	inode    INTEGER NOT NULL,
	size     INTEGER NOT NULL,
	modified INTEGER NOT NULL, -- ns
	changed  INTEGER NOT NULL, -- ns
	log      INTEGER NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
	PRIMARY KEY (device, inode)
) WITHOUT ROWID;

CREATE TABLE roots (
	root       TEXT PRIMARY KEY,
	first_seen INTEGER NOT NULL,
	last_seen  INTEGER NOT NULL
) WITHOUT ROWID;

-- Paths that the open days refer to, many to a row, see paths.go. The ids in a list are
-- from first to last, and each is in one list.
CREATE TABLE paths (
	first INTEGER PRIMARY KEY,
	last  INTEGER NOT NULL,
	list  BLOB NOT NULL
);

CREATE TABLE open_days (
	day    INTEGER PRIMARY KEY, -- days since 1970, UTC
	read   INTEGER NOT NULL,    -- when a line of it was last counted
	-- What its clients are hashed with: the name of the group's secret, '' for the salt of
	-- this database.
	hashed TEXT NOT NULL
);

-- What clients asked for on an open day: the day times 256 and the first byte of the
-- clients' hashes, and what is of these, see parts.go.
CREATE TABLE requests (
	part    INTEGER PRIMARY KEY,
	clients BLOB NOT NULL
);

-- Directories of names. The root of each is worked out when it is needed.
CREATE TABLE dirs (
	id  INTEGER PRIMARY KEY,
	dir TEXT NOT NULL UNIQUE -- "fedora/updates/41/Everything/x86_64/Packages/v"
);

-- Names of closed days, each in a directory, whose id is no foreign key: to delete one
-- directory would take a walk over all names.
CREATE TABLE names (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	arch TEXT NOT NULL,
	dir  INTEGER NOT NULL,
	UNIQUE (name, arch, dir)
);

-- What is left of closed days.
CREATE TABLE days (
	day       INTEGER NOT NULL,
	name      INTEGER NOT NULL REFERENCES names (id),
	clients   INTEGER NOT NULL,
	weight    INTEGER NOT NULL, -- of the clients, see scanner.go
	requests  INTEGER NOT NULL,
	bytes     INTEGER NOT NULL,
	last_seen INTEGER NOT NULL, -- the newest request, seconds since 1970
	PRIMARY KEY (day, name)
) WITHOUT ROWID;

-- Clients of a closed day that asked for one name and arch in several
-- directories: counted in each, and to be counted once if these turn out to
-- have one root.
CREATE TABLE overlaps (
	day     INTEGER NOT NULL,
	names   TEXT NOT NULL, -- ids in names, ascending, separated by commas
	clients INTEGER NOT NULL,
	weight  INTEGER NOT NULL,
	PRIMARY KEY (day, names)
) WITHOUT ROWID;

-- The others of the group, and when the newest of their counts that were taken in
-- here were made, in seconds since 1970.
CREATE TABLE members (
	node TEXT PRIMARY KEY,
	made INTEGER NOT NULL
) WITHOUT ROWID;
