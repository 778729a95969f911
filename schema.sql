-- Kalibri: the whole current schema. migrations/ applied in order give exactly this (tests/migration).
-- In each file: enums, tables with their constraints and indexes, functions, triggers, first rows.
-- Rules: tenant_id first in every key that a tenant owns; timestamptz only; numbers E.164 digits as text;
-- every constraint named, because kalibri/db_constraints.py maps names to what a person is told.
-- psql -f schema.sql reads it as well as kalibri/services/schema.py does.

\ir schema/10_tables.sql
\ir schema/20_change_log.sql
\ir schema/30_kamailio.sql
\ir schema/40_api.sql
\ir schema/41_events.sql
\ir schema/42_worker.sql
