"""One run at the provider: submitted once, tracked until it is final, reported as events."""
