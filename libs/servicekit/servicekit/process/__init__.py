"""A service's process: how it starts and stops, its folder for temporary files, and its child processes."""
