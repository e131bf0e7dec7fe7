-- The cache's accounting. Losing it loses statistics, never a file.
CREATE TABLE IF NOT EXISTS file (
    path       TEXT PRIMARY KEY,
    hits       INTEGER NOT NULL DEFAULT 0, -- answers from the stored copy
    bytes      INTEGER NOT NULL DEFAULT 0, -- sent to clients
    last_used  INTEGER NOT NULL DEFAULT 0, -- Unix seconds; 0: no client has come yet
    heat       REAL NOT NULL DEFAULT 0,    -- the answers, as much as each still counted at last_used: see worth.go
    prefetched INTEGER NOT NULL DEFAULT 0, -- Unix seconds of the last prefetch; 0: never
    ahead      INTEGER NOT NULL DEFAULT 0  -- bytes that were prefetched
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day (
    day        TEXT PRIMARY KEY,           -- UTC, 2006-01-02
    requests   INTEGER NOT NULL DEFAULT 0, -- answers for files that are ours to cache
    hits       INTEGER NOT NULL DEFAULT 0, -- of these, without bytes from upstream
    served     INTEGER NOT NULL DEFAULT 0, -- bytes sent to clients
    upstream   INTEGER NOT NULL DEFAULT 0, -- bytes downloaded for requests
    ahead      INTEGER NOT NULL DEFAULT 0  -- bytes downloaded before anyone asked
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS evicted (
    at    INTEGER NOT NULL, -- Unix seconds
    files INTEGER NOT NULL, -- that went to make room
    bytes INTEGER NOT NULL  -- that they took on the disk
);
