-- Institutions and caregivers: what is known of each now, and every change in the order of commit.
-- Nothing about a natural person is in the clear: it lies in `sealed` (AES-256-GCM, see store/sealed.rs).

-- The last sequence number given out. A transaction that changes the registry takes its numbers
-- here as its last step but writing the rows: the row's lock is held until it has committed, so
-- numbers are without gaps and in the order of commit, and whoever sees number n sees all below.
CREATE TABLE registry_head (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    sequence  bigint NOT NULL
);
INSERT INTO registry_head (sequence) VALUES (0);

-- What changed.  put: a new version; delete: the entry ended; status: the same version, but a date
-- in it has come (written by the gateway itself).
CREATE TABLE registry_change (
    sequence      bigint PRIMARY KEY,
    kind          text COLLATE "C" NOT NULL CHECK (kind IN ('institution', 'caregiver')),
    entity_id     text COLLATE "C" NOT NULL,
    version       bigint NOT NULL CHECK (version > 0),
    change        text NOT NULL CHECK (change IN ('put', 'delete', 'status')),
    content       json,                        -- canonical record without `personal`; null for delete
    sealed        bytea,                       -- its `personal`; null for delete and where there is none
    status        text,                        -- in force on effective_on
    designated    boolean NOT NULL,            -- institution with an agreement on effective_on
    reason        text,                        -- of a delete
    effective_on  date NOT NULL,               -- the day of which status and designated speak
    changed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),  -- under the head's lock: rises with sequence
    CHECK ((change = 'delete') = (content IS NULL)),
    CHECK ((change = 'delete') = (reason IS NOT NULL)),
    CHECK (change <> 'delete' OR sealed IS NULL)
);
-- The history of one entry.
CREATE INDEX registry_change_entity ON registry_change (kind, entity_id, sequence);
-- Pages of one kind.
CREATE INDEX registry_change_kind ON registry_change (kind, sequence);

-- From a moment on.
CREATE INDEX registry_change_at ON registry_change USING brin (changed_at) WITH (pages_per_range = 16, autosummarize = on);

-- The present state: the content is that of the change `sequence` names.
CREATE TABLE registry_entity (
    kind               text COLLATE "C" NOT NULL CHECK (kind IN ('institution', 'caregiver')),
    entity_id          text COLLATE "C" NOT NULL CHECK (length(entity_id) BETWEEN 1 AND 40),
    version            bigint NOT NULL CHECK (version > 0),
    sequence           bigint NOT NULL,        -- its last change; no foreign key: written with it, never deleted
    ended              boolean NOT NULL,       -- a tombstone; only a newer version registers it again
    digest             bytea NOT NULL CHECK (length(digest) = 32),  -- keyed, of the whole canonical record
    status             text,
    designated         boolean NOT NULL,
    next_on            date,                   -- the next day on which status or designated may change by itself
    name               text COLLATE "C",       -- institutions only
    uscc               text COLLATE "C",       -- institutions only
    certificate_index  bigint,                 -- keyed blind indexes for look-up; see store/sealed.rs
    phone_index        bigint,
    PRIMARY KEY (kind, entity_id)
);
CREATE INDEX registry_entity_due ON registry_entity (next_on) WHERE next_on IS NOT NULL;
CREATE INDEX registry_entity_uscc ON registry_entity (uscc) WHERE uscc IS NOT NULL;
CREATE INDEX registry_entity_name ON registry_entity (name) WHERE name IS NOT NULL;
CREATE INDEX registry_entity_certificate ON registry_entity (certificate_index) WHERE certificate_index IS NOT NULL;
CREATE INDEX registry_entity_phone ON registry_entity (phone_index) WHERE phone_index IS NOT NULL;

-- What came and was not taken: `older` than what is known, or the same version with `other_content`.
CREATE TABLE registry_event (
    event_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind           text NOT NULL,
    entity_id      text COLLATE "C" NOT NULL,
    version        bigint NOT NULL,
    known_version  bigint NOT NULL,
    event          text NOT NULL CHECK (event IN ('older', 'other_content')),
    sender         text NOT NULL,
    received_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX registry_event_entity ON registry_event (kind, entity_id);
