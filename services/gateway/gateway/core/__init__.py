"""What the gateway decides, without any driver: ranges, preconditions, scopes, names, limits."""
