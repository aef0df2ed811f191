-- Payment histories: money is split by the running total of an employer, district and contribution month, so
-- each line has its place in one. Two lines can never take the same place: whoever comes second splits anew.

-- 32 bits of an employer's number, in the upper half: model::history_id computes the same.
CREATE FUNCTION employer_key(employer_no text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (CASE WHEN employer_no COLLATE "C" ~ '^[0-9]{0,26}$' THEN (('0' || employer_no)::numeric % 4294967296)::bigint
                 ELSE ('x' || encode(substr(sha256(convert_to(employer_no, 'UTF8')), 9, 4), 'hex'))::bit(32)::bigint END) << 32
$$;

-- Below it 12 bits of months since 1990-01 and 20 bits of district.
CREATE FUNCTION history_key(employer_no text, contribution_month int, district int) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT employer_key(employer_no) | (((contribution_month / 100 - 1990) * 12 + contribution_month % 100 - 1)::bigint << 20) | district
$$;

ALTER TABLE employer_line
    ADD COLUMN history_key bigint,           -- of employer, district and month; different histories may share one
    ADD COLUMN history_no int;               -- 1, 2, 3, ... among the lines of the key, in the order they were split
UPDATE employer_line AS line SET history_key = placed.key, history_no = placed.no
    FROM (SELECT packet_id, record_index, history_key(employer_no, contribution_month, district) AS key,
                 row_number() OVER (PARTITION BY history_key(employer_no, contribution_month, district) ORDER BY packet_id, record_index) AS no
          FROM employer_line) AS placed
    WHERE placed.packet_id = line.packet_id AND placed.record_index = line.record_index;
ALTER TABLE employer_line
    ALTER COLUMN history_key SET NOT NULL,
    ALTER COLUMN history_no SET NOT NULL;
-- Serves the questions of the index it replaces, too: an employer's lines are a range of keys.
CREATE UNIQUE INDEX employer_line_history ON employer_line (history_key, history_no);
DROP INDEX employer_line_employer;
ALTER TYPE employer_line_row ADD ATTRIBUTE history_key bigint, ADD ATTRIBUTE history_no int;

-- Every rule an employer's money was ever split by: a history goes on with its own after the rate file was
-- edited. An edited rule gets another id (`450100/employer/2021-03~2`); millionths.
CREATE TABLE employer_rate (
    rate_id           text PRIMARY KEY,
    whole             int NOT NULL,
    medical           int NOT NULL,
    long_term_care    int NOT NULL,
    remainder         text NOT NULL,
    late_fee_to       text NOT NULL,
    interest_to       text NOT NULL,
    employee_paid_to  text NOT NULL,
    CHECK (whole = medical + long_term_care)
);
