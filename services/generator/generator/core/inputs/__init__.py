"""From what somebody gives for a model to an input that may be sent."""
