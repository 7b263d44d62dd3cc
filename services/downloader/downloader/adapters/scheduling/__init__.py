"""Drives what scheduling needs: claims, events, alerts."""
