-- Address books of tenants.

-- name: list_entries
-- Entries of a tenant by name; with a text to look for only those whose name, number or note holds it.
SELECT tenant_id, entry_id, name, number, note
FROM address_book_entry
WHERE tenant_id = %(tenant_id)s
  AND (%(text)s::text IS NULL OR strpos(lower(concat_ws(E'\n', name, number, note)), lower(%(text)s)) > 0)
ORDER BY name, number;

-- name: find_entry
-- One entry of a tenant.
SELECT tenant_id, entry_id, name, number, note
FROM address_book_entry
WHERE tenant_id = %(tenant_id)s AND entry_id = %(entry_id)s;

-- name: add_entry
-- A new entry; returns its id.
INSERT INTO address_book_entry (tenant_id, name, number, note)
VALUES (%(tenant_id)s, %(name)s, %(number)s, %(note)s)
RETURNING entry_id;

-- name: set_entry
-- Everything about an entry.
UPDATE address_book_entry
SET name = %(name)s, number = %(number)s, note = %(note)s
WHERE tenant_id = %(tenant_id)s AND entry_id = %(entry_id)s;

-- name: remove_entry
-- An entry of a tenant.
DELETE FROM address_book_entry WHERE tenant_id = %(tenant_id)s AND entry_id = %(entry_id)s;

-- name: make_entry_staging
-- A table for imported entries, with the same rules.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_entry (LIKE address_book_entry INCLUDING CONSTRAINTS) ON COMMIT DROP;

-- name: stage_entry
-- One imported entry.
INSERT INTO staged_entry (tenant_id, entry_id, name, number, note)
VALUES (%(tenant_id)s, 0, %(name)s, %(number)s, %(note)s);

-- name: take_over_entries
-- Imported entries become entries, or change the note of the same name and number; the staging table is empty then.
WITH staged AS (DELETE FROM staged_entry RETURNING *)
INSERT INTO address_book_entry (tenant_id, name, number, note)
SELECT tenant_id, name, number, note
FROM staged
ORDER BY name, number
ON CONFLICT ON CONSTRAINT address_book_entry_name_key DO UPDATE SET note = EXCLUDED.note;
