-- Whoever is brought into an organisation joins by accepting it themselves.
ALTER TABLE member
    -- Until then a membership is an offer, and counts for nothing.
    ADD COLUMN accepted_at timestamptz;

ALTER TABLE person
    -- False until a link has set a password; no link sets one that exists.
    ADD COLUMN has_password boolean NOT NULL DEFAULT true;

-- Somebody who never chose a password has accepted nothing yet.
UPDATE person SET has_password = false
 WHERE password_changed_at IS NULL
   AND EXISTS (SELECT FROM member JOIN invitation USING (org_id, member_id)
                WHERE member.person_id = person.person_id)
   AND NOT EXISTS (SELECT FROM member JOIN invitation USING (org_id, member_id)
                    WHERE member.person_id = person.person_id AND used_at IS NOT NULL);
UPDATE member SET accepted_at = created_at
 WHERE (SELECT has_password FROM person WHERE person.person_id = member.person_id);
