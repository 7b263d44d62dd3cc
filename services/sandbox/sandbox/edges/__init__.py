"""What calls the model server."""
