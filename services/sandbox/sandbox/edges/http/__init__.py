"""Replicate's HTTP surface, the output files and the control routes."""
