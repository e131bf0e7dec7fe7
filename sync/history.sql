-- The runs of the agent. Losing it loses the memory of them: the next one is
-- done at once.
CREATE TABLE IF NOT EXISTS run (
    started  INTEGER NOT NULL, -- Unix seconds
    finished INTEGER NOT NULL, -- Unix seconds
    error    TEXT NOT NULL,    -- what ended it; empty for one that came to its end
    report   TEXT NOT NULL     -- as imsync once --json prints it
);
CREATE INDEX IF NOT EXISTS run_finished ON run (finished);
