"""What the generator calls: the provider, catalog, the event log, the blob store."""
