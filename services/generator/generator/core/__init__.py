"""What the generator decides: pure, and the ports through which it acts."""
