"""Fetches one file: received, checked and stored whole, or not at all."""
