"""Serves Replicate's HTTP API, the output files and the control routes."""
