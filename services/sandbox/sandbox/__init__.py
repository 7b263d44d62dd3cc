"""A Replicate-compatible model server with real renderers, time, money, expiring files and faults."""
