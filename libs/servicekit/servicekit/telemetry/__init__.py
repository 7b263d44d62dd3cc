"""Logs, traces and metrics of every service."""
