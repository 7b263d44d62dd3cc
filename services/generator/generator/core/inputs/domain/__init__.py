"""Rules about the values of an input."""
