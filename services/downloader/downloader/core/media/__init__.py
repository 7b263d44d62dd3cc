"""Which files count as media."""
