"""What the provider's answers mean, and what follows from them: rules without any effect."""
