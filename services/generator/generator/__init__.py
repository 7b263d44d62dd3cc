"""Runs models at the provider, within its limits, never paying twice."""
