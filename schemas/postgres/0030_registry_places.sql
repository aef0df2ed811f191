-- Pullers bound to pooling areas: where an entry lay before and after each change, so that whoever is given one city
-- only learns who came to it and who left it.

-- The first four digits of the division (GB/T 2260) of an institution; of a caregiver that of the institution he or she
-- belongs to, a deleted one included: its people are of the place it was in.
ALTER TABLE registry_change
    ADD COLUMN city         int,   -- where it lies from this change on; null: ended, or of an institution nobody has sent
    ADD COLUMN city_before  int;   -- where it lay until this change; null: it was not there
ALTER TABLE registry_entity
    ADD COLUMN city         int;   -- as of its last change that was no end

COMMENT ON COLUMN registry_change.change IS
    'put: a new version; delete: the entry ended; status: the same version, but a date in it has come, or its institution ended, became one of another kind or moved to another city';

-- Where each institution lay, from each of its records on.
CREATE TEMP TABLE registry_seat ON COMMIT DROP AS
    SELECT entity_id, sequence, CASE WHEN content->>'division' ~ '^[0-9]{4}' THEN left(content->>'division', 4)::int END AS city
    FROM registry_change WHERE kind = 'institution' AND content IS NOT NULL;
CREATE INDEX ON registry_seat (entity_id, sequence);
ANALYZE registry_seat;

-- A caregiver lay where the institution did at that moment; in one that came later, where it came.
UPDATE registry_change c SET city = p.city, city_before = p.city_before FROM (
        SELECT sequence, city, lag(city) OVER (PARTITION BY kind, entity_id ORDER BY sequence) AS city_before FROM (
            SELECT sequence, 'institution' AS kind, entity_id, city FROM registry_seat
            UNION ALL SELECT h.sequence, h.kind, h.entity_id, CASE WHEN h.content IS NOT NULL THEN coalesce(
                (SELECT s.city FROM registry_seat s WHERE s.entity_id = h.content->>'institution_id' AND s.sequence < h.sequence ORDER BY s.sequence DESC LIMIT 1),
                (SELECT s.city FROM registry_seat s WHERE s.entity_id = h.content->>'institution_id' ORDER BY s.sequence LIMIT 1)) END
            FROM registry_change h WHERE h.kind = 'caregiver' OR h.content IS NULL) h) p
    WHERE p.sequence = c.sequence AND num_nonnulls(p.city, p.city_before) > 0;
UPDATE registry_entity e SET city = l.city FROM (
        SELECT DISTINCT ON (kind, entity_id) kind, entity_id, city FROM registry_change WHERE content IS NOT NULL ORDER BY kind, entity_id, sequence DESC) l
    WHERE e.kind = l.kind AND e.entity_id = l.entity_id AND l.city IS NOT NULL;
-- Until now an institution that moved left its caregivers where they were: the gateway looks at them as soon as it runs,
-- and tells everybody.
UPDATE registry_entity e SET next_on = least(e.next_on, (now() AT TIME ZONE 'Asia/Shanghai')::date)
    WHERE e.kind = 'caregiver' AND NOT e.ended AND e.city IS DISTINCT FROM (
        SELECT i.city FROM registry_entity i WHERE i.kind = 'institution' AND i.entity_id = e.institution_id);

-- Pages of what lies in a city, and of what has left it (few: ends and moves). The city comes first, so that no other
-- index has their order.
CREATE INDEX registry_change_city ON registry_change (city, kind, sequence) WHERE city IS NOT NULL;
CREATE INDEX registry_change_left ON registry_change (city_before, kind, sequence) WHERE city_before IS NOT NULL AND city IS DISTINCT FROM city_before;
-- Whom a snapshot of a city may have to show: who is there, and who has left.
CREATE INDEX registry_entity_city ON registry_entity (city, kind, entity_id) WHERE city IS NOT NULL;
CREATE INDEX registry_change_leaver ON registry_change (city_before, kind, entity_id) WHERE city_before IS NOT NULL AND city IS DISTINCT FROM city_before;
