"""How stored bytes are sent over HTTP."""
