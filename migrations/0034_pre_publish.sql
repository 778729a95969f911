-- Events of tables that stand in earlier files than this one but later than schema/41_events.sql.

CREATE TRIGGER acd_event_publish AFTER INSERT ON acd_event REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION publish_acd_events();
