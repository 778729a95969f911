-- Call park: calls that wait at a numbered slot of their tenant until somebody dials it (docs/services.md).

-- -------------------------------------------------------------------------------------------- tables

CREATE TABLE park_policy (
    tenant_id      integer NOT NULL CONSTRAINT park_policy_tenant_fkey REFERENCES tenant ON DELETE CASCADE,
    slots          integer NOT NULL DEFAULT 20 CONSTRAINT park_policy_slots_check CHECK (slots BETWEEN 0 AND 99),
    wait_seconds   integer NOT NULL DEFAULT 90 CONSTRAINT park_policy_wait_check CHECK (wait_seconds BETWEEN 1 AND 3600),
    ring_seconds   integer NOT NULL DEFAULT 30 CONSTRAINT park_policy_ring_check CHECK (ring_seconds BETWEEN 1 AND 300),
    overflow_kind  forward_kind,
    overflow       text NOT NULL DEFAULT ''
                   CONSTRAINT park_policy_overflow_check CHECK (overflow ~ '^[+]?[A-Za-z0-9_.*#-]{0,64}$' AND (overflow = '') = (overflow_kind IS NULL)),
    CONSTRAINT park_policy_pkey PRIMARY KEY (tenant_id)
);
COMMENT ON TABLE park_policy IS 'How calls of a tenant are parked; no row: the defaults.';
COMMENT ON COLUMN park_policy.slots IS 'Slots 1 to this one; as many calls wait at once. 0: nothing is parked.';
COMMENT ON COLUMN park_policy.wait_seconds IS 'After this time the phone of who parked the call rings.';
COMMENT ON COLUMN park_policy.ring_seconds IS 'How long it rings.';
COMMENT ON COLUMN park_policy.overflow IS 'Where a call goes that nobody took even then; empty: it ends.';

CREATE TABLE parked_call (
    tenant_id    integer NOT NULL CONSTRAINT parked_call_tenant_fkey REFERENCES tenant ON DELETE CASCADE,
    slot         integer NOT NULL CONSTRAINT parked_call_slot_check CHECK (slot BETWEEN 1 AND 99),
    call_id      uuid NOT NULL,
    host         text NOT NULL,
    caller       text NOT NULL DEFAULT '',
    caller_name  text NOT NULL DEFAULT '',
    parker       text NOT NULL DEFAULT '',
    parked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT parked_call_pkey PRIMARY KEY (tenant_id, slot),
    CONSTRAINT parked_call_call_key UNIQUE (tenant_id, call_id)
);
COMMENT ON TABLE parked_call IS 'Slots that are taken: the media host that holds a call writes its row, and takes it away when the call is picked up or gone.';
COMMENT ON COLUMN parked_call.host IS 'Node name of the media host that holds the call.';
COMMENT ON COLUMN parked_call.parker IS 'User name of who parked it; empty: not known.';

-- ----------------------------------------------------------------------------------------- functions

CREATE FUNCTION park_host_lives(p_host text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM node WHERE name = p_host AND kind = 'media' AND heartbeat_at > clock_timestamp() - interval '15 s')
$$;
COMMENT ON FUNCTION park_host_lives(text) IS 'Whether the media host that holds a parked call still gives signs of life.';

CREATE FUNCTION park_take(p_tenant integer, p_slot integer, p_call uuid, p_host text, p_caller text, p_caller_name text, p_parker text, p_code text)
RETURNS jsonb LANGUAGE plpgsql AS $$
-- p_slot 0: the lowest free one, which the parker is told by a message (p_code: what is dialled before the slot).
DECLARE
    v_policy park_policy;
    v_slot integer := p_slot;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('parked_call'), p_tenant);
    SELECT * INTO v_policy FROM park_policy WHERE tenant_id = p_tenant;
    v_policy.slots := coalesce(v_policy.slots, 20);
    DELETE FROM parked_call WHERE tenant_id = p_tenant AND NOT park_host_lives(host);
    IF p_slot > v_policy.slots THEN
        RETURN jsonb_build_object('refused', 'none', 'slots', v_policy.slots);
    END IF;
    IF p_slot = 0 THEN
        SELECT min(n) INTO v_slot FROM generate_series(1, v_policy.slots) AS n
        WHERE NOT EXISTS (SELECT FROM parked_call c WHERE c.tenant_id = p_tenant AND c.slot = n);
        IF v_slot IS NULL THEN
            RETURN jsonb_build_object('refused', 'full', 'slots', v_policy.slots);
        END IF;
    END IF;
    INSERT INTO parked_call (tenant_id, slot, call_id, host, caller, caller_name, parker)
    VALUES (p_tenant, v_slot, p_call, p_host, p_caller, p_caller_name, p_parker)
    ON CONFLICT ON CONSTRAINT parked_call_pkey DO NOTHING;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('refused', 'taken', 'slots', v_policy.slots);
    END IF;
    IF p_slot = 0 AND p_code <> '' THEN
        INSERT INTO stored_message (tenant_id, account_id, sender, content_type, body, expires_at)
        SELECT p_tenant, account_id, 'park', 'text/plain',
               format('%s: %s%s', coalesce(nullif(p_caller_name, ''), nullif(p_caller, ''), 'anonymous'), p_code, v_slot),
               clock_timestamp() + make_interval(secs => coalesce(v_policy.wait_seconds, 90))
        FROM account WHERE tenant_id = p_tenant AND username = p_parker;
    END IF;
    RETURN jsonb_build_object('slot', v_slot, 'wait_seconds', coalesce(v_policy.wait_seconds, 90),
                              'ring_seconds', coalesce(v_policy.ring_seconds, 30),
                              'overflow', coalesce(v_policy.overflow_kind || ':' || v_policy.overflow, ''));
END $$;
COMMENT ON FUNCTION park_take(integer, integer, uuid, text, text, text, text, text) IS
    'Gives a call a slot, never one that another call has: {slot, wait_seconds, ring_seconds, overflow}, or {refused: none|full|taken}.';

-- ------------------------------------------------------------------------------------------ triggers

CALL protect_tenant_rows('park_policy');
CALL protect_tenant_rows('parked_call');
CALL audit_changes_of('park_policy', '{}', '{}', '');
