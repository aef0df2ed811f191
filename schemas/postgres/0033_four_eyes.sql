-- Four eyes that can be shown: under which login a month was planned and approved, and which plan took another's place.

-- proof        what it shows
-- audit        the audit uid of the kernel: who logged in, kept over su and sudo
-- sudo         what sudo says of its caller, borne out by a process of that user
-- account      the account the command ran under
-- certificate  a partner's client certificate
ALTER TABLE deduction_cycle
    ADD COLUMN planned_login   text,      -- null: no login was known
    ADD COLUMN planned_uid     bigint,
    ADD COLUMN planned_host    text,
    ADD COLUMN planned_proof   text CHECK (planned_proof IN ('audit', 'sudo', 'account', 'certificate')),
    ADD COLUMN approved_login  text,
    ADD COLUMN approved_uid    bigint,
    ADD COLUMN approved_host   text,
    ADD COLUMN approved_proof  text CHECK (approved_proof IN ('audit', 'sudo', 'account', 'certificate')),
    ADD COLUMN same_login      boolean NOT NULL DEFAULT false,  -- approved without proof of a second person, as [approval] same_login allowed
    ADD COLUMN replaces        bigint,    -- the plan in whose place it was put
    ADD CONSTRAINT deduction_cycle_planned_login CHECK ((planned_login IS NULL) = (planned_proof IS NULL)),
    ADD CONSTRAINT deduction_cycle_approved_login CHECK ((approved_login IS NULL) = (approved_proof IS NULL)),
    ADD CONSTRAINT deduction_cycle_four_eyes CHECK (same_login OR approved_login <> planned_login);

-- What was approved until now was approved by another name, which proves nothing.
UPDATE deduction_cycle SET same_login = true WHERE approved_by IS NOT NULL;

CREATE OR REPLACE VIEW report.cycle AS
SELECT cycle_id, pooling_area, month, state, encode(digest, 'hex') AS digest, people, fen, rounds,
       planned_by, planned_at, approved_by, approved_at, run_by, started_at, settled_at,
       planned_login, planned_proof, approved_login, approved_proof, same_login, replaces
FROM deduction_cycle;
