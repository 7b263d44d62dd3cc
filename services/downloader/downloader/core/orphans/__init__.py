"""Compares the blob store with the records."""
