"""Keys, and signed addresses that work without one."""
