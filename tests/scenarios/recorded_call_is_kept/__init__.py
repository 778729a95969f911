"""Calls that are recorded, from the phones to the list of recordings."""
