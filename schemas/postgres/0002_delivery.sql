-- What is to be sent to partners, what became of it, and which instance sends.
-- Rows name records, not bytes: what is sent is rendered at send time, so a dead letter can be
-- retried after a mapping was mended.

-- state       meaning                                         moved on by
-- ready       may be sent once due_at has come                claim of the destination's dispatcher -> leased
--                                                             (a newer version of the same key -> superseded)
-- leased      a dispatcher prepares or sends it               its settlement -> delivered, ready, in_doubt, dead;
--                                                             after a dispatcher is gone: recover -> ready when
--                                                             nothing was sent, else in_doubt once leased_until has passed
-- in_doubt    it was sent and nobody knows the outcome        inquiry at due_at -> delivered, ready, dead, or asked again later;
--                                                             where none exists: sent again if idempotent, else dead
-- delivered   the partner has it                              nobody
-- superseded  a newer version went instead                    nobody
-- dead        refused, or tried too often, or outcome         a person: `ltcgw dead retry`
--             unknown with nobody to ask                      -> ready (refused), in_doubt (unknown), or delivered
CREATE TABLE delivery (
    delivery_id   bigint PRIMARY KEY DEFAULT nextval('id_block') * 1024,  -- rises with arrival, see 0001
    destination   text COLLATE "C" NOT NULL,       -- partner name in config/partners.toml
    message       text NOT NULL,                   -- the adapter's outbound message
    ordering_key  text COLLATE "C",                -- never overtaken within a destination; null: any order
    packet_id     bigint NOT NULL,                 -- no foreign key: written with its packet, which is never deleted
    first_record  int NOT NULL,
    last_record   int NOT NULL,
    reversal      boolean NOT NULL DEFAULT false,  -- takes earlier records back; goes after every original of its key
    lines         int NOT NULL,
    fen           bigint NOT NULL,                 -- money of those lines as this destination is told it
    state         text NOT NULL DEFAULT 'ready'
                  CHECK (state IN ('ready', 'leased', 'in_doubt', 'delivered', 'superseded', 'dead')),
    attempts      int NOT NULL DEFAULT 0 CHECK (attempts >= 0),  -- towards attempts_max; what never left does not count
    due_at        timestamptz NOT NULL DEFAULT now(),
    leased_until  timestamptz,
    lease_token   bigint,                          -- dispatcher_lease.token it was claimed under
    reference     text,                            -- our msgid or idempotency key, committed before anything is sent
    attempt_no    int NOT NULL DEFAULT 0,          -- its last row in attempt
    under_way     boolean NOT NULL DEFAULT false,  -- a request of that attempt may be with the partner
    outcome       text CHECK (outcome IN ('accepted', 'duplicate', 'rejected', 'retry_later', 'unknown')),
    answer        text,                            -- what an operator should see of the last answer; never private data
    created_at    timestamptz NOT NULL DEFAULT now(),
    settled_at    timestamptz,

    CHECK (lines > 0 AND first_record <= last_record AND lines <= last_record - first_record + 1),
    CHECK (ordering_key IS NOT NULL OR NOT reversal),
    CHECK ((leased_until IS NULL) = (lease_token IS NULL)),
    CHECK (CASE state WHEN 'leased' THEN lease_token IS NOT NULL WHEN 'in_doubt' THEN true ELSE lease_token IS NULL END),
    CHECK (NOT under_way OR (lease_token IS NOT NULL AND reference IS NOT NULL AND attempt_no > 0)),
    CHECK (state <> 'in_doubt' OR (reference IS NOT NULL AND outcome IS NOT DISTINCT FROM 'unknown')),
    CHECK (state <> 'delivered' OR (reference IS NOT NULL AND outcome IS NOT NULL AND outcome IN ('accepted', 'duplicate'))),
    CHECK (state <> 'dead' OR answer IS NOT NULL),
    CHECK ((settled_at IS NOT NULL) = (state IN ('delivered', 'superseded', 'dead')))
);
-- Claiming takes the oldest ready row of a destination.
CREATE INDEX delivery_ready ON delivery (destination, delivery_id) WHERE state = 'ready';
-- What is under way or in doubt: a handful of rows per destination.
CREATE INDEX delivery_under_way ON delivery (destination, due_at) WHERE state IN ('leased', 'in_doubt');
-- Whether an earlier one of the same key is still open.
CREATE INDEX delivery_order ON delivery (destination, ordering_key, reversal, delivery_id)
    WHERE ordering_key IS NOT NULL AND state IN ('ready', 'leased', 'in_doubt', 'dead');
CREATE INDEX delivery_dead ON delivery (destination, delivery_id) WHERE state = 'dead';
CREATE INDEX delivery_packet ON delivery (packet_id);

-- Every request made for a delivery. A row without ended_at is a request nobody has heard the end of.
CREATE TABLE attempt (
    delivery_id     bigint NOT NULL REFERENCES delivery,
    attempt_no      int NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('send', 'inquire')),
    reference       text NOT NULL,
    adapter_digest  bytea NOT NULL CHECK (length(adapter_digest) = 32),  -- of the adapter folder that rendered it
    request_digest  bytea NOT NULL CHECK (length(request_digest) = 32),  -- SHA-256 of the body sent
    started_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    status          int,                           -- HTTP status, when there was a complete answer
    outcome         text CHECK (outcome IN ('accepted', 'duplicate', 'rejected', 'retry_later', 'unknown', 'not_sent')),
    answer          text,
    PRIMARY KEY (delivery_id, attempt_no),
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK (status IS NULL OR ended_at IS NOT NULL)
);

-- Who sends to a destination. The token rises with every new holder, so that what an earlier
-- holder still believes it holds is recognised. The pause outlives the holder: a partner's
-- Retry-After is obeyed by whoever comes next.
CREATE TABLE dispatcher_lease (
    destination   text COLLATE "C" PRIMARY KEY,
    holder        text NOT NULL,
    token         bigint NOT NULL CHECK (token > 0),
    until         timestamptz NOT NULL,
    paused_until  timestamptz NOT NULL DEFAULT '-infinity'
);

-- Serial numbers for references, unique in the whole fleet.
CREATE SEQUENCE reference_serial MINVALUE 1;
