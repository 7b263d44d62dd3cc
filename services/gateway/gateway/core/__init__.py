"""What is decided without any driver: nothing here performs I/O."""
