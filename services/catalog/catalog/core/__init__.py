"""What catalog decides: pure functions of state, and the use cases that carry them out."""
