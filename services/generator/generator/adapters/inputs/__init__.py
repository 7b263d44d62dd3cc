"""Files of inputs at the provider."""
