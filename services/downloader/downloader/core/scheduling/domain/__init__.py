"""The rules of scheduling: pure."""
