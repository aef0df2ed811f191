-- Deliveries of registry entries beside those of a packet's records; what of a day's limit is spent;
-- how far a backfill has come.

ALTER TABLE delivery
    ALTER COLUMN packet_id DROP NOT NULL,
    ALTER COLUMN first_record DROP NOT NULL,
    ALTER COLUMN last_record DROP NOT NULL,
    ADD COLUMN entity_kind text COLLATE "C" CHECK (entity_kind IN ('institution', 'caregiver')),
    ADD COLUMN entity_id   text COLLATE "C",
    ADD COLUMN version     bigint,                       -- the source's version, for people
    ADD COLUMN revision    bigint,                       -- registry_change.sequence: what it tells of; no foreign key, never deleted
    ADD COLUMN removal     boolean NOT NULL DEFAULT false, -- tells that the entry ended, or no longer concerns the destination
    ADD COLUMN priority    smallint NOT NULL DEFAULT 20  -- 10 an ending or suspension, 20 any other, 90 backfill; lower goes first
               CHECK (priority BETWEEN 0 AND 99),
    -- Exactly one subject: records of a packet, or one change of an entry.
    ADD CHECK (num_nonnulls(packet_id, first_record, last_record) = CASE WHEN entity_kind IS NULL THEN 3 ELSE 0 END),
    ADD CHECK (num_nonnulls(entity_id, version, revision) = CASE WHEN entity_kind IS NULL THEN 0 ELSE 3 END),
    ADD CHECK (entity_kind IS NOT NULL OR NOT removal),
    ADD CHECK (entity_kind IS NULL OR (lines = 1 AND fen = 0 AND NOT reversal AND ordering_key IS NOT DISTINCT FROM entity_kind || '/' || entity_id));

-- A newer revision of an entry supersedes one still `ready`, and a `dead` one: entries go out whole,
-- so the newer one settles whatever the older left open.

-- Claiming takes the most urgent, then the oldest ready row of a destination.
DROP INDEX delivery_ready;
CREATE INDEX delivery_ready ON delivery (destination, priority, delivery_id) WHERE state = 'ready';
DROP INDEX delivery_packet;
CREATE INDEX delivery_packet ON delivery (packet_id) WHERE packet_id IS NOT NULL;
-- What a destination was told of an entry.
CREATE INDEX delivery_entity ON delivery (ordering_key, destination, revision) WHERE entity_kind IS NOT NULL;

-- Requests of a calendar day (Asia/Shanghai) that dispatchers have reserved, at destinations with a
-- limit per day. Reserved in blocks under the lease before anything is sent, so never more than the
-- limit is sent, whoever is killed; what an instance takes with it when killed stays unused.
CREATE TABLE destination_day (
    destination  text COLLATE "C" NOT NULL,
    day          date NOT NULL,
    reserved     int NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (destination, day)
);

-- The whole registry, queued for one destination bit by bit.
CREATE TABLE backfill (
    destination    text COLLATE "C" PRIMARY KEY,
    since          date,                            -- only entries changed since then; null: all
    started_at     timestamptz NOT NULL DEFAULT now(),
    after_kind     text COLLATE "C" NOT NULL DEFAULT '',   -- how far: the last entry looked at, in the order of (kind, id)
    after_id       text COLLATE "C" NOT NULL DEFAULT '',
    looked_at      bigint NOT NULL DEFAULT 0,       -- entries looked at
    queued         bigint NOT NULL DEFAULT 0,       -- deliveries queued
    finished_at    timestamptz                      -- everything is queued
);
