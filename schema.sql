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
\ir schema/50_acd.sql
\ir schema/51_acd_state.sql
\ir schema/52_acd_match.sql
\ir schema/53_acd_call.sql
\ir schema/54_acd_offer.sql
\ir schema/55_acd_watch.sql
\ir schema/56_acd_legs.sql
\ir schema/57_acd_people.sql
\ir schema/58_acd_callback.sql
\ir schema/59_acd_access.sql
\ir schema/60_recording.sql
\ir schema/61_prompt.sql
\ir schema/62_campaign.sql
\ir schema/63_lead.sql
\ir schema/64_attempt.sql
\ir schema/65_agent_campaign.sql
\ir schema/66_fingerprint.sql
\ir schema/67_ivr.sql
\ir schema/68_account_service.sql
\ir schema/69_park.sql
\ir schema/69_preview.sql
\ir schema/69_voicemail.sql
\ir schema/70_report.sql
\ir schema/71_report_fold.sql
\ir schema/72_form.sql
\ir schema/73_office.sql
\ir schema/74_line.sql
\ir schema/80_publish.sql
