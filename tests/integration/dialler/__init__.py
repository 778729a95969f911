"""Campaigns, lists, leads, do-not-call lists on a real PostgreSQL."""
