"""The records of predictions and charges, and the rules that need no clock and no store."""
