"""The demonstration: a tenant, two carriers, phones, real calls through the running instance, and what came of them."""
