"""Runs the local stack: every service, the event log and the S3 store as processes of one machine."""
