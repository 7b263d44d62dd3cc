"""What the downloader drives: origins, the store, the spool, the decoders, the event log."""
