"""Between JSON and messages, by the descriptors alone."""
