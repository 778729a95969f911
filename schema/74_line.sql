-- Lines that are watched: what one proxy tells the others of the calls and phones that it has (docs/contracts.md 16).

-- -------------------------------------------------------------------------------------------- tables

CREATE TABLE line_watch (
    tenant_id  integer NOT NULL CONSTRAINT line_watch_tenant_fkey REFERENCES tenant ON DELETE CASCADE,
    username   text NOT NULL,
    proxy      text NOT NULL,
    until      timestamptz NOT NULL,
    CONSTRAINT line_watch_pkey PRIMARY KEY (tenant_id, username, proxy)
);
COMMENT ON TABLE line_watch IS 'Lines that phones watch at a proxy: the other proxies tell what they know of them.';
COMMENT ON COLUMN line_watch.username IS 'User name of the account whose line it is.';
COMMENT ON COLUMN line_watch.proxy IS 'Its name in the node table.';
COMMENT ON COLUMN line_watch.until IS 'The proxy renews it; one that died is told nothing any more after this.';

CREATE TABLE line_state (
    tenant_id   integer NOT NULL CONSTRAINT line_state_tenant_fkey REFERENCES tenant ON DELETE CASCADE,
    username    text NOT NULL,
    proxy       text NOT NULL,
    registered  boolean NOT NULL,
    calls       jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT line_state_pkey PRIMARY KEY (tenant_id, username, proxy)
);
COMMENT ON TABLE line_state IS 'What a proxy has of a line that is watched at another one, from second to second; no row: nothing.';
COMMENT ON COLUMN line_state.registered IS 'A phone of the account is registered at this proxy.';
COMMENT ON COLUMN line_state.calls IS 'Its calls there: {call id: [state, direction, peer]} (callcore/presence.py).';

-- ------------------------------------------------------------------------------------------ triggers

CALL protect_tenant_rows('line_watch');
CALL protect_tenant_rows('line_state');
