"""What the provider lists."""
