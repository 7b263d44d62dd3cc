"""Drives what the orphan sweep needs: the catalog, and its report."""
