"""How others ask the downloader for work: events and gRPC."""
