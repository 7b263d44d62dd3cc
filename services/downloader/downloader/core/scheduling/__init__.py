"""Decides which output is fetched when, and when it is given up."""
