"""What the gateway drives: channels to the other services, pictures and sound, the live feed."""
