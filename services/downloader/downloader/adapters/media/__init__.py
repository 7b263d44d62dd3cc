"""Decodes media in processes of their own."""
