-- Prompts and music on hold.

-- name: list_prompts
-- Prompts without their audio, each version; a filter that is null lets everything through.
SELECT p.tenant_id, t.name AS tenant, p.prompt_id, p.name, p.language, p.version, p.text, p.voice, p.source, p.duration_ms,
       p.created_at, p.created_by,
       p.version = max(p.version) OVER (PARTITION BY p.tenant_id, p.name, p.language) AS current
FROM prompt p JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR p.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR p.name = %(name)s)
  AND (%(language)s::text IS NULL OR p.language = %(language)s)
ORDER BY t.name, p.name, p.language, p.version DESC;

-- name: master
-- The audio of a prompt.
SELECT master FROM prompt WHERE prompt_id = %(prompt_id)s;

-- name: lock_names
-- Versions are counted one after the other.
SELECT pg_advisory_xact_lock(hashtext('prompt'), %(tenant_id)s);

-- name: add_prompt
-- A new version of a prompt.
INSERT INTO prompt (tenant_id, name, language, version, text, voice, source, duration_ms, master, created_by)
SELECT %(tenant_id)s, %(name)s, %(language)s, coalesce(max(version), 0) + 1, %(text)s, %(voice)s, %(source)s,
       %(duration_ms)s, %(master)s, %(by)s
FROM prompt WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND language = %(language)s
RETURNING prompt_id;

-- name: remove_prompts
-- Versions of a prompt; null: all languages, all versions.
DELETE FROM prompt
WHERE tenant_id = %(tenant_id)s AND name = %(name)s
  AND (%(language)s::text IS NULL OR language = %(language)s)
  AND (%(version)s::integer IS NULL OR version = %(version)s);

-- name: fingerprint
-- Changes whenever prompts or music change.
SELECT md5(coalesce((SELECT string_agg(prompt_id::text, ',' ORDER BY prompt_id) FROM prompt), '') || '/' ||
           coalesce((SELECT string_agg(m::text, ',' ORDER BY tenant_id, name) FROM music_class m), ''));

-- name: list_music
-- Music classes; a filter that is null lets everything through.
SELECT m.tenant_id, t.name AS tenant, m.name, m.prompts
FROM music_class m JOIN tenant t USING (tenant_id)
WHERE (%(tenant_id)s::integer IS NULL OR m.tenant_id = %(tenant_id)s)
  AND (%(name)s::text IS NULL OR m.name = %(name)s)
ORDER BY t.name, m.name;

-- name: set_music
-- A music class with these prompts.
INSERT INTO music_class (tenant_id, name, prompts) VALUES (%(tenant_id)s, %(name)s, %(prompts)s)
ON CONFLICT ON CONSTRAINT music_class_pkey DO UPDATE SET prompts = EXCLUDED.prompts;

-- name: remove_music
-- A music class; its prompts stay.
DELETE FROM music_class WHERE tenant_id = %(tenant_id)s AND name = %(name)s;
