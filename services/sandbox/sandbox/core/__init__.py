"""Decides what the model server does; opens no file and no connection."""
