-- Takes back what migration 0030 and all later ones did, so that they run again: a database of before places were kept.
ALTER TABLE registry_change DROP COLUMN city, DROP COLUMN city_before; ALTER TABLE registry_entity DROP COLUMN city;
DROP VIEW report.cycle; ALTER TABLE deduction_cycle DROP COLUMN planned_login, DROP COLUMN planned_uid, DROP COLUMN planned_host,
DROP COLUMN planned_proof, DROP COLUMN approved_login, DROP COLUMN approved_uid, DROP COLUMN approved_host, DROP COLUMN approved_proof,
DROP COLUMN same_login, DROP COLUMN replaces;
DROP TABLE approval; DROP VIEW report.refused_line; ALTER TABLE line_refusal DROP COLUMN fen; ALTER TYPE line_refusal_row DROP ATTRIBUTE fen;
DROP INDEX packet_received, packet_refusal_received, packet_with_refused; ALTER TABLE backfill DROP COLUMN again;
DROP VIEW report.delivery; ALTER TABLE delivery DROP COLUMN subject_kind, DROP COLUMN subject_id, DROP COLUMN part, DROP COLUMN part_end,
ADD COLUMN packet_id bigint, ADD COLUMN first_record int, ADD COLUMN last_record int, ADD COLUMN entity_kind text COLLATE "C",
ADD COLUMN entity_id text COLLATE "C", ADD COLUMN revision bigint, ADD COLUMN cycle_id bigint, ADD COLUMN batch_no int;
DELETE FROM refinery_schema_history WHERE version >= 30;
