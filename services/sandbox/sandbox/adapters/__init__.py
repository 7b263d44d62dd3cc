"""Drives what the sandbox uses: its database, its renderers, HTTP requests to others."""
