"""What is known of a stored media file, and the ports through which it is read."""
