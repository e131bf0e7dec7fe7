-- What the agent remembers. Losing it loses the memory of past runs: the next
-- one is done at once, and nothing that was prefetched is known to be wasted.
CREATE TABLE IF NOT EXISTS run (
    started  INTEGER NOT NULL, -- Unix seconds
    finished INTEGER NOT NULL, -- Unix seconds
    error    TEXT NOT NULL,    -- what ended it; empty for one that came to its end
    report   TEXT NOT NULL     -- as imsync once --json prints it
);
CREATE INDEX IF NOT EXISTS run_finished ON run (finished);

-- The packages that were brought ahead of any client.
CREATE TABLE IF NOT EXISTS prefetched (
    path TEXT PRIMARY KEY,         -- below the cache directory
    name TEXT NOT NULL,
    arch TEXT NOT NULL,
    root TEXT NOT NULL,
    size INTEGER NOT NULL,         -- bytes
    at   INTEGER NOT NULL,         -- Unix seconds
    used INTEGER NOT NULL DEFAULT 0, -- the day, in Unix seconds, on which a client came for it; 0: none yet
    reason TEXT NOT NULL DEFAULT ''  -- why it was fetched, as imsync plan has it; empty where nobody wrote it down
) WITHOUT ROWID;

-- The streams of modules that clients have asked for packages of.
CREATE TABLE IF NOT EXISTS stream (
    root   TEXT NOT NULL,
    module TEXT NOT NULL,
    stream TEXT NOT NULL,
    seen   INTEGER NOT NULL, -- Unix seconds
    PRIMARY KEY (root, module, stream)
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
