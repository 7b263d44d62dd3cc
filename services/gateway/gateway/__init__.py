"""REST, uploads, byte ranges, provider webhooks and live events: the only door for outsiders."""
