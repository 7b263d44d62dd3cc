"""Blobs in any S3 store: written whole or not at all, read in ranges, with bounded memory."""

from servicekit.blobs.client import BlobInfo
from servicekit.blobs.store import BlobStore
from servicekit.blobs.upload import Upload

__all__ = ["BlobInfo", "BlobStore", "Upload"]
