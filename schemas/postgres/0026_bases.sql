-- Rates may be about other bases than the own one, and leave it to the person to pay once a year.

ALTER TABLE roster_entry
    ADD COLUMN account_credit_fen bigint CHECK (account_credit_fen >= 0),  -- base a month by which the personal account is credited
    ADD COLUMN yearly boolean NOT NULL DEFAULT false;                      -- pays the year at once, where the rates let people choose

-- Reasons are the program's words (ledger::deduction::Reason); there is one for every base that may be missing.
ALTER TABLE deduction_left_out
    DROP CONSTRAINT deduction_left_out_reason_check,
    ADD CONSTRAINT deduction_left_out_reason_check CHECK (reason ~ '^[a-z_]+$');
