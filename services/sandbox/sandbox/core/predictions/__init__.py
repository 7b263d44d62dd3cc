"""Predictions from their creation to their expiry, with their charges and webhooks."""
