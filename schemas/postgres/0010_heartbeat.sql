-- One row that is written when somebody asks whether the gateway is ready: it is while the database takes
-- writes, and reading alone does not show that. Room is left in its page, so that nothing grows by it.
CREATE TABLE heartbeat (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- When it was last asked.
    beat_at timestamptz NOT NULL
) WITH (fillfactor = 10);
