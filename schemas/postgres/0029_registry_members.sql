-- Caregivers go with their institution: where it ends, is deleted or becomes one of another kind, those
-- who belong to it are published again, in the same transaction.

-- Of an institution: its kind, or null once it has ended (status `ended`, or deleted). Of a caregiver:
-- that of the institution he or she belongs to; null where it is not registered or has ended.
ALTER TABLE registry_change ADD COLUMN institution_kind text COLLATE "C";
ALTER TABLE registry_entity
    ADD COLUMN institution_kind text COLLATE "C",  -- as of the entry's last change
    ADD COLUMN institution_id   text COLLATE "C";  -- caregivers only: whom they belong to; null once ended
-- Who belongs to an institution.
CREATE INDEX registry_entity_institution ON registry_entity (institution_id) WHERE institution_id IS NOT NULL;

COMMENT ON COLUMN registry_change.change IS
    'put: a new version; delete: the entry ended; status: the same version, but a date in it has come, or its institution ended or became one of another kind';
COMMENT ON COLUMN registry_entity.sequence IS
    'its last change; 0 where the end of an entry came that nobody had sent: nothing was published, only older versions are kept out';

-- `unknown`: the end of an entry that nobody had sent.
ALTER TABLE registry_event DROP CONSTRAINT registry_event_event_check;
ALTER TABLE registry_event ADD CONSTRAINT registry_event_event_check CHECK (event IN ('older', 'other_content', 'unknown'));

UPDATE registry_change SET institution_kind = content->>'kind' WHERE kind = 'institution' AND content IS NOT NULL AND status IS DISTINCT FROM 'ended';
UPDATE registry_entity e SET institution_kind = c.institution_kind FROM registry_change c
    WHERE c.sequence = e.sequence AND e.kind = 'institution' AND c.institution_kind IS NOT NULL;
-- Until now the end of an institution changed nothing of its caregivers: each is given the kind it had.
UPDATE registry_change c SET institution_kind = i.kind FROM (
        SELECT DISTINCT ON (entity_id) entity_id, content->>'kind' AS kind FROM registry_change
        WHERE kind = 'institution' AND content IS NOT NULL ORDER BY entity_id, sequence DESC) i
    WHERE c.kind = 'caregiver' AND c.content IS NOT NULL AND i.entity_id = c.content->>'institution_id';
UPDATE registry_entity e SET institution_kind = c.institution_kind, institution_id = c.content->>'institution_id' FROM registry_change c
    WHERE c.sequence = e.sequence AND e.kind = 'caregiver' AND NOT e.ended;
-- The gateway looks at those who belong nowhere any more as soon as it runs, and tells everybody.
UPDATE registry_entity e SET next_on = least(e.next_on, (now() AT TIME ZONE 'Asia/Shanghai')::date)
    WHERE e.kind = 'caregiver' AND NOT e.ended AND e.institution_kind IS DISTINCT FROM (
        SELECT i.institution_kind FROM registry_entity i WHERE i.kind = 'institution' AND i.entity_id = e.institution_id);
