"""ks-ears: its sockets, its legs, its library (docs/ears.md)."""
