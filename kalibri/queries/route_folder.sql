-- Folders of routes: paths with names and / between them.

-- name: list
-- The folders of a tenant, with how many routes lie in each directly.
SELECT folder_id, path, (SELECT count(*) FROM route WHERE route.tenant_id = route_folder.tenant_id
                         AND route.folder_id = route_folder.folder_id) AS routes
FROM route_folder
WHERE tenant_id = %(tenant_id)s
ORDER BY path;

-- name: find
-- One folder by its path.
SELECT folder_id, path, (SELECT count(*) FROM route WHERE route.tenant_id = route_folder.tenant_id
                         AND route.folder_id = route_folder.folder_id) AS routes
FROM route_folder
WHERE tenant_id = %(tenant_id)s AND path = %(path)s;

-- name: add
-- A new folder.
INSERT INTO route_folder (tenant_id, path) VALUES (%(tenant_id)s, %(path)s);

-- name: rename
-- A folder and all below it get another path.
UPDATE route_folder
SET path = %(new_path)s || substr(path, length(%(path)s) + 1)
WHERE tenant_id = %(tenant_id)s AND (path = %(path)s OR starts_with(path, %(path)s || '/'));

-- name: remove
-- Removes an empty folder.
DELETE FROM route_folder WHERE tenant_id = %(tenant_id)s AND path = %(path)s;
