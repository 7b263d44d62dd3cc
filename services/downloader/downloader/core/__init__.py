"""What the downloader decides, by concept: in each, pure rules (`domain`), ports, and use cases."""
