-- A backfill for a partner that lost what it had: entries it took already are told once more.

ALTER TABLE backfill ADD COLUMN again boolean NOT NULL DEFAULT false;
