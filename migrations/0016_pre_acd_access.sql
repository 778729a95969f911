-- Call distribution: who may see it (schema/40_api.sql), and which changes are written down.

CALL protect_tenant_rows('skill');
CALL protect_tenant_rows('pause_reason');
CALL protect_tenant_rows('agent');
CALL protect_tenant_rows('agent_skill');
CALL protect_tenant_rows('queue');
CALL protect_tenant_rows('queue_skill');
CALL protect_tenant_rows('queue_member');
CALL protect_tenant_rows('agent_live');
CALL protect_tenant_rows('queue_live');
CALL protect_tenant_rows('round_robin');
CALL protect_tenant_rows('ready_agent');
CALL protect_tenant_rows('queue_entry');
CALL protect_tenant_rows('offer');
CALL protect_tenant_rows('rejection');
CALL protect_tenant_rows('last_agent');
CALL protect_tenant_rows('agent_leg');
CALL protect_tenant_rows('leg');
CALL protect_tenant_rows('host_command');
CALL protect_tenant_rows('acd_event');
CALL open_for_reading('acd_transition');
REVOKE UPDATE, DELETE ON acd_event FROM kalibri_api;
GRANT USAGE, SELECT ON SEQUENCE acd_event_seq TO kalibri_api;
ALTER VIEW acd_attempt SET (security_invoker = true);

CALL audit_changes_of('skill', '{}', '{}', '');
CALL audit_changes_of('pause_reason', '{}', '{}', '');
CALL audit_changes_of('agent', '{}', '{}', '');
CALL audit_changes_of('agent_skill', '{}', '{}', '');
CALL audit_changes_of('queue', '{}', '{}', '');
CALL audit_changes_of('queue_skill', '{}', '{}', '');
CALL audit_changes_of('queue_member', '{}', '{}', '');
