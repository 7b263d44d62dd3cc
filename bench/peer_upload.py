"""`… | python -m bench.peer_upload ENDPOINT BUCKET KEY PART_BYTES`: what a user would pipe curl into.

The minio client's own streaming upload, in its own way: parts of the given size, three at once. Keys come
from BLOB_ACCESS_KEY and BLOB_SECRET_KEY. It prints "ready" once everything is imported, and at its end
the most KiB of memory that it has gained.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from minio import Minio

from bench.memory import resident_kib


def main() -> None:
    endpoint, bucket, key, part = sys.argv[1:5]
    client = Minio(
        urlsplit(endpoint).netloc,
        access_key=os.environ["BLOB_ACCESS_KEY"],
        secret_key=os.environ["BLOB_SECRET_KEY"],
        region="us-east-1",
        secure=False,
    )
    before = resident_kib(os.getpid(), "VmRSS")
    print("ready", flush=True)
    client.put_object(bucket, key, sys.stdin.buffer, length=-1, part_size=int(part), content_type="video/mp4")
    print(resident_kib(os.getpid(), "VmHWM") - before, flush=True)


if __name__ == "__main__":
    main()
