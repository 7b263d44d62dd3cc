"""Scenes of a film: chosen from photos, and fitted to the models that render them."""
