"""Rules for choosing scenes and for fitting them to a model."""
