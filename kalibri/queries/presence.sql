-- What watchers of a line are told beside its calls.

-- name: agents_on_lines
-- States of the agents whose phones these accounts are.
SELECT account.tenant_id, account.username, live.state::text AS state
FROM unnest(%(tenant_ids)s::integer[], %(usernames)s::text[]) AS wanted (tenant_id, username)
JOIN account ON account.tenant_id = wanted.tenant_id AND account.username = wanted.username
JOIN agent ON agent.tenant_id = account.tenant_id AND agent.account_id = account.account_id
JOIN agent_live AS live ON live.tenant_id = agent.tenant_id AND live.agent_id = agent.agent_id;

-- name: messages_waiting
-- How many new and heard messages some accounts have.
SELECT tenant_id, username, new_count, old_count FROM voicemail_waiting(%(tenant_ids)s::integer[], %(usernames)s::text[]);
