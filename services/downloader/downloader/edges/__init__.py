"""How others request work of the downloader: events and gRPC."""
