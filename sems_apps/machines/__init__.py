"""The applications as pure machines: `step(event, now)` returns what to do; no socket, no clock, no database."""
