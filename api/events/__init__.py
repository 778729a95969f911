"""Events: what listeners get, in which order, and how they go on after an interruption."""
