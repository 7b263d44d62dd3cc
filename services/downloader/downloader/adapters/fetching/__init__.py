"""Drives what fetching needs: origins, the blob store, the spool folder."""
