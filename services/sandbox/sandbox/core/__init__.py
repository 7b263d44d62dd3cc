"""What the model server decides: no driver and no socket in here."""
