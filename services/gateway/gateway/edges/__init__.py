"""Where outsiders come in: HTTP, and the JSON that it speaks."""
