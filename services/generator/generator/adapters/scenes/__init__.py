"""What photos look like."""
