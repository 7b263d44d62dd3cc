"""`python -m bench.origin FILE PORT`: serves one file over HTTP with little work of its own (sendfile)."""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    path_served: Path

    def do_GET(self) -> None:
        size = self.path_served.stat().st_size
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.flush()
        with self.path_served.open("rb") as file:
            offset = 0
            while offset < size:
                offset += os.sendfile(self.connection.fileno(), file.fileno(), offset, size - offset)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        """The terminal is for results."""


def main() -> None:
    Handler.path_served = Path(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()


if __name__ == "__main__":
    main()
