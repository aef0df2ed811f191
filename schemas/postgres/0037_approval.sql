-- What one person asks for and another decides: until then nothing is done.

CREATE TABLE approval (
    approval_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- mark_delivered       deliveries that are `ready` and that the partner has: they are not sent
    -- resume_destination   the pause of a destination is lifted
    action        text NOT NULL CHECK (action IN ('mark_delivered', 'resume_destination')),
    destination   text COLLATE "C" NOT NULL,
    deliveries    bigint[] NOT NULL DEFAULT '{}',   -- as they were when it was asked for; what changed since is left alone
    attempts      int[] NOT NULL DEFAULT '{}',      -- attempt_no of each then
    reference     text,                             -- under which the partner has it, where it says so
    digest        bytea NOT NULL CHECK (length(digest) = 32),   -- of all the above and the reason: see flow/approval.rs
    reason        text NOT NULL CHECK (reason <> ''),
    requested_by  text NOT NULL CHECK (requested_by <> ''),
    requested_at  timestamptz NOT NULL DEFAULT now(),
    -- The login of who asked and of who decided, as in deduction_cycle; null where none was known.
    requested_login text,
    requested_uid   bigint,
    requested_host  text,
    requested_proof text CHECK (requested_proof IN ('audit', 'sudo', 'account')),
    expires_at    timestamptz NOT NULL,
    decision      text CHECK (decision IN ('approved', 'rejected')),
    decided_by    text,
    decided_at    timestamptz,
    decided_login text,
    decided_uid   bigint,
    decided_host  text,
    decided_proof text CHECK (decided_proof IN ('audit', 'sudo', 'account')),
    same_login    boolean NOT NULL DEFAULT false,   -- approved without proof of a second person, as [approval] same_login allowed
    done          int,                              -- of what was approved: how much was done
    CHECK (cardinality(deliveries) = cardinality(attempts)),
    CHECK (num_nulls(decision, decided_by, decided_at) IN (0, 3)),
    CHECK (decision IS DISTINCT FROM 'approved' OR lower(btrim(decided_by)) <> lower(btrim(requested_by))),
    CHECK ((requested_login IS NULL) = (requested_proof IS NULL)),
    CHECK ((decided_login IS NULL) = (decided_proof IS NULL)),
    CHECK (decision IS DISTINCT FROM 'approved' OR same_login OR coalesce(decided_login <> requested_login, false))
);
CREATE INDEX approval_open ON approval (approval_id) WHERE decision IS NULL;
