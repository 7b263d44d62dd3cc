"""The rules of fetching: pure."""
