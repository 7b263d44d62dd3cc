"""Receives HTTP requests and sends responses: routing, bodies, streams."""
