"""Making the thumbnail of a stored file."""
