"""REST, uploads, byte ranges, provider webhooks and live events: the only way in for outsiders."""
