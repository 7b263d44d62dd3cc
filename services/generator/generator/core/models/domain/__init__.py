"""What a model takes, makes and costs: rules without any effect."""
