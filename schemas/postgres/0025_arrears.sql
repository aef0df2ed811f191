-- Arrears. A shortfall is what one month left open of its own due, handled as that month's rule says; before, it held what
-- earlier months had left open as well, and was lost or waived together with them. The instruction that asks for it again
-- holds it (carried_into) until it is answered: taken, and it stays there, made up; anything else, and it is open again.

-- What an instruction asks for besides its own month's due, month by month. Never changed.
CREATE TABLE deduction_carried (
    cycle_id   bigint NOT NULL,                   -- whose instruction asks
    round      smallint NOT NULL,
    person_no  text COLLATE "C" NOT NULL,
    of_cycle   bigint NOT NULL,                   -- the cycle that left it open
    month      int NOT NULL,                      -- its month, under which it is posted when it is taken
    district   int NOT NULL,                      -- and its district
    fen        bigint NOT NULL CHECK (fen > 0),
    PRIMARY KEY (cycle_id, round, person_no, of_cycle)
);

-- What a later round asks for: the own due while it is open, and of what the instruction carried whatever nobody else asks
-- for meanwhile. Written by the retry, in order of person_no, and never changed.
CREATE TABLE deduction_again (
    cycle_id     bigint NOT NULL,
    round        smallint NOT NULL CHECK (round > 1),
    person_no    text COLLATE "C" NOT NULL,
    due_fen      bigint NOT NULL,
    carried_fen  bigint NOT NULL,
    fen          bigint NOT NULL CHECK (fen > 0 AND fen = due_fen + carried_fen),
    PRIMARY KEY (cycle_id, round, person_no)
);

-- Rounds there are asked for the whole instruction again.
INSERT INTO deduction_again (cycle_id, round, person_no, due_fen, carried_fen, fen)
SELECT d.cycle_id, b.round, d.person_no, d.due_fen, d.carried_fen, d.fen
FROM deduction_batch b JOIN deduction d ON d.cycle_id = b.cycle_id AND d.person_no BETWEEN b.first_person AND b.last_person
    JOIN deduction_rate q ON q.cycle_id = d.cycle_id AND q.rate = d.rate AND q.shortfall = 'retry'
    JOIN deduction_result r ON r.cycle_id = d.cycle_id AND r.person_no = d.person_no AND r.round = b.round - 1
WHERE b.round > 1 AND r.outcome IN ('insufficient_balance', 'account_frozen');

-- A shortfall whose holder took nothing goes on to wherever the holder's own was carried, or is open again: so comes back what
-- was lost with a person unknown for a month, or waived by another month's rule.
DO $$
BEGIN
    LOOP
        UPDATE shortfall s
        SET carried_into = (SELECT n.carried_into FROM shortfall n
            WHERE n.pooling_area = s.pooling_area AND n.person_no = s.person_no AND n.cycle_id = s.carried_into AND n.carried_into <> n.cycle_id)
        FROM deduction_cycle c
        WHERE c.cycle_id = s.carried_into AND c.state = 'settled' AND s.carried_into <> s.cycle_id
          AND NOT EXISTS (SELECT FROM deduction_result r WHERE r.cycle_id = c.cycle_id AND r.person_no = s.person_no AND r.outcome = 'deducted');
        EXIT WHEN NOT FOUND;
    END LOOP;
END $$;

DELETE FROM shortfall s USING deduction d WHERE d.cycle_id = s.cycle_id AND d.person_no = s.person_no AND d.due_fen = 0;
UPDATE shortfall s SET fen = d.due_fen FROM deduction d
WHERE d.cycle_id = s.cycle_id AND d.person_no = s.person_no AND d.due_fen <> s.fen;

INSERT INTO deduction_carried (cycle_id, round, person_no, of_cycle, month, district, fen)
SELECT s.carried_into, n.round, s.person_no, s.cycle_id, c.month, d.district, s.fen
FROM shortfall s JOIN deduction_cycle c ON c.cycle_id = s.cycle_id
    JOIN deduction d ON d.cycle_id = s.cycle_id AND d.person_no = s.person_no
    JOIN deduction_cycle h ON h.cycle_id = s.carried_into
    CROSS JOIN LATERAL generate_series(1, h.rounds) AS n(round)
WHERE s.carried_into <> s.cycle_id;
