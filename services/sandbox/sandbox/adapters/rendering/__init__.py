"""Rendering of films, pictures and sound: everything that the sandbox's models put out."""
