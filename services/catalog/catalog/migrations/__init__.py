"""The database's history: one module per change, applied in order at start."""
