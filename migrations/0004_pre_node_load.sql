-- Load of RTP nodes: what the controllers spread sessions by.

ALTER TABLE node
    ADD COLUMN weight integer NOT NULL DEFAULT 100 CONSTRAINT node_weight_check CHECK (weight BETWEEN 0 AND 10000),
    ADD COLUMN capacity integer NOT NULL DEFAULT 300
        CONSTRAINT node_capacity_check CHECK (capacity BETWEEN 1 AND 1000000),
    ADD COLUMN draining boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN node.data IS 'What the node or its controllers tell: figures under "live".';
COMMENT ON COLUMN node.weight IS 'Share of new sessions among nodes of equal load; 0: none.';
COMMENT ON COLUMN node.capacity IS 'Sessions (of a media host: calls) that it may carry.';
COMMENT ON COLUMN node.draining IS 'Keeps what it carries and takes nothing new.';
