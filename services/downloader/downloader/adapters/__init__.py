"""What the downloader drives: origins, the blob store, decoders, the event log, the catalog."""
