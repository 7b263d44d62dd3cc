"""Fetches every output before the provider deletes it: checked, whole, once."""
