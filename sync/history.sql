-- What the agent remembers. Losing it loses the memory of past runs: the next
-- one is done at once, and nothing that was prefetched is known to be wasted.
CREATE TABLE IF NOT EXISTS run (
    started  INTEGER NOT NULL, -- Unix seconds
    finished INTEGER NOT NULL, -- Unix seconds
    error    TEXT NOT NULL,    -- what ended it; empty for one that came to its end
    report   TEXT NOT NULL     -- as imsync once --json prints it; but for the last run's without the files that went
);

-- The packages that were brought ahead of any client.
CREATE TABLE IF NOT EXISTS prefetched (
    path TEXT PRIMARY KEY,         -- below the cache directory
    name TEXT NOT NULL,
    arch TEXT NOT NULL,
    root TEXT NOT NULL,
    size INTEGER NOT NULL,         -- bytes
    at   INTEGER NOT NULL,         -- Unix seconds
    source TEXT NOT NULL,          -- as Item.Source has it
    reason TEXT NOT NULL,          -- why it was fetched, as imsync plan has it
    used INTEGER NOT NULL DEFAULT 0 -- the last day, in Unix seconds, on which a client came for it; 0: none yet
) WITHOUT ROWID;

-- The streams of modules that clients have asked for packages of.
CREATE TABLE IF NOT EXISTS stream (
    root   TEXT NOT NULL,
    module TEXT NOT NULL,
    stream TEXT NOT NULL,
    seen   INTEGER NOT NULL, -- Unix seconds
    PRIMARY KEY (root, module, stream)
) WITHOUT ROWID;

-- The metadata of which it was said last what it describes badly.
CREATE TABLE IF NOT EXISTS told (
    root   TEXT PRIMARY KEY,
    digest TEXT NOT NULL,    -- of its entry file, hexadecimal
    at     INTEGER NOT NULL  -- Unix seconds
) WITHOUT ROWID;

-- The names that companion roots have had, to know what is new.
CREATE TABLE IF NOT EXISTS familiar (
    place   TEXT PRIMARY KEY, -- architecture, release and line
    roots   TEXT NOT NULL,    -- JSON: a list
    names   BLOB NOT NULL,    -- hashes, 8 bytes each, sorted
    arrived TEXT NOT NULL     -- JSON: the new names, with when they came in Unix seconds
) WITHOUT ROWID;

-- The names that clients asked for, and that their repositories have no longer, as
-- the last run found.
CREATE TABLE IF NOT EXISTS gone (
    name TEXT NOT NULL,
    arch TEXT NOT NULL,
    root TEXT NOT NULL,
    PRIMARY KEY (name, arch, root)
) WITHOUT ROWID;

-- How far the run under way is, if one is: its lock says so, not this.
CREATE TABLE IF NOT EXISTS progress (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    started INTEGER NOT NULL, -- Unix seconds
    items   INTEGER NOT NULL, -- packages to fetch
    done    INTEGER NOT NULL,
    bytes   INTEGER NOT NULL, -- of the packages to fetch
    there   INTEGER NOT NULL
);

-- Where reading the cache back was broken off, if it was.
CREATE TABLE IF NOT EXISTS verify (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    after  TEXT NOT NULL, -- the last file that was read, below the cache directory
    report TEXT NOT NULL  -- as imsync verify --json prints it
);

-- The same of the nights, each of which reads a part; kept when all is read, too.
CREATE TABLE IF NOT EXISTS verify_nightly (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    after  TEXT NOT NULL,
    report TEXT NOT NULL
);

-- The other caches that were copied into this one, and the last time that each was.
CREATE TABLE IF NOT EXISTS replica (
    source  TEXT PRIMARY KEY,  -- its URL
    error   TEXT NOT NULL,     -- what ended the last copy; empty for one that came to its end
    report  TEXT NOT NULL,     -- as imsync replicate --json prints it
    success INTEGER NOT NULL   -- Unix seconds: when the last one began that had no failure; 0: none had
) WITHOUT ROWID;

-- What was deleted within a day since the cache that is copied has not got it any more.
CREATE TABLE IF NOT EXISTS dropped (
    repository TEXT NOT NULL,
    at         INTEGER NOT NULL, -- Unix seconds
    files      INTEGER NOT NULL,
    bytes      INTEGER NOT NULL
);

-- The state in which the last run had nothing to fetch that had nothing to fetch.
CREATE TABLE IF NOT EXISTS settled (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    state TEXT NOT NULL,   -- a digest of all that a plan is made from
    at    INTEGER NOT NULL, -- Unix seconds
    sources TEXT NOT NULL  -- JSON: what became of what was prefetched, as its report has it
);
