"""REST as the contracts describe it."""
