"""What outsiders call: HTTP, and the JSON that it carries."""
