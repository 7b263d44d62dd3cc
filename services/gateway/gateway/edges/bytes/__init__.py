"""Stored bytes over HTTP."""
