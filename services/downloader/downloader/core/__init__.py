"""What the downloader decides: pure rules, ports, and the fetch that follows them."""
