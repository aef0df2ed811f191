-- Pauses of a destination that people can see and lift, and answers of what stands before a partner.

-- Why a destination is paused, in the words met, and since when. `paused_until` may have passed: then
-- single requests try it, until one is answered by the partner itself and the reason is taken away.
--   not_reached  what stands before the partner lets nothing through
--   unclear      it answers, but nothing that the partner itself would say
--   down         it cannot be reached, or keeps silent
--   later        it says "later"
ALTER TABLE dispatcher_lease
    ADD COLUMN pause_reason  text CHECK (pause_reason IN ('not_reached', 'unclear', 'down', 'later')),
    ADD COLUMN pause_answer  text,                        -- the words met, safe to show
    ADD COLUMN paused_at     timestamptz,                 -- since when it has not worked
    ADD COLUMN resumed       bigint NOT NULL DEFAULT 0,   -- rises when a person lifts a pause; the holder reads it with every renewal
    ADD CONSTRAINT dispatcher_lease_pause_check CHECK ((pause_reason IS NULL) = (paused_at IS NULL));

-- Since when a delivery is tried: its first attempt, anew after a person's decision. Answers that say
-- "later" count as attempts only when the minimum time of a delivery has passed since then.
ALTER TABLE delivery ADD COLUMN tried_at timestamptz;

-- Every row there fits the narrower constraint that was, so none is read again.
ALTER TABLE attempt
    DROP CONSTRAINT attempt_outcome_check,
    ADD CONSTRAINT attempt_outcome_check
        CHECK (outcome IN ('accepted', 'duplicate', 'rejected', 'retry_later', 'not_reached', 'unknown', 'not_sent')) NOT VALID;
