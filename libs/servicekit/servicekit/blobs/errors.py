"""Translates what the S3 client raises into our errors, by one table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import urllib3.exceptions
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from servicekit.errors import AppError, Internal, Invalid, NotFound, Unavailable

_DAMAGED = (Unavailable, "the bytes of {key} arrived damaged, and were refused: send them again")

ERRORS: dict[str, tuple[type[AppError], str]] = {
    "NoSuchKey": (NotFound, "no blob {key}"),
    "NoSuchBucket": (Unavailable, "the bucket {bucket} is gone: restart, and it is made again"),
    "NoSuchUpload": (Unavailable, "the upload of {key} was aborted as stale: send it again"),
    "BadDigest": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "XAmzContentChecksumMismatch": _DAMAGED,  # MinIO, of a CRC-32
    "InvalidRange": (Invalid, "blob {key} ends before the range begins"),
    "EntityTooLarge": (Invalid, "blob {key} is larger than the store takes"),
    "KeyTooLongError": (Invalid, "the key {key} is longer than the store takes"),
    # Not `forbidden`: callers cannot mend our settings, and consumers would make dead letters of it.
    "AccessDenied": (Unavailable, "the store refuses our keys: check BLOB_ACCESS_KEY and BLOB_SECRET_KEY"),
    "InvalidAccessKeyId": (Unavailable, "the store does not know our access key: check BLOB_ACCESS_KEY"),
    "SignatureDoesNotMatch": (Unavailable, "the store refuses our signature: check BLOB_SECRET_KEY"),
    "RequestTimeTooSkewed": (Unavailable, "the clocks of the store and of this machine differ: set them"),
    "SlowDown": (Unavailable, "the store asks us to slow down"),
    "ServiceUnavailable": (Unavailable, "the store is not ready"),
    "InternalError": (Unavailable, "the store has failed inside"),
}
"""By S3 error code. Those that name a BLOB_ setting end `BlobStore.start` at once: waiting does not help."""


@contextmanager
def translate_errors(endpoint: str, bucket: str, key: str = "") -> Iterator[None]:
    """Raise our errors instead of the client's; each names the blob and the store."""
    try:
        yield
    except S3Error as error:
        kind, text = ERRORS.get(error.code or "", (None, ""))
        if kind is None:
            # Each store has codes of its own (MinIO: while it starts, when it is full): the status says
            # whether the fault is the store's.
            kind = Unavailable if error.response.status >= 500 else Internal
            text = f"the store answered {error.code}: {error.message}"
        else:
            text = text.format(key=f"{bucket}/{key}", bucket=bucket)
        raise kind(f"{text} (store {endpoint})") from error
    except (urllib3.exceptions.HTTPError, ServerError, InvalidResponseError, OSError) as error:
        raise Unavailable(f"the blob store at {endpoint} does not answer: {_short(error)}") from error
    except MinioException as error:
        raise Internal(f"the blob store at {endpoint}: {_short(error)}") from error
    except ValueError as error:  # minio checks names and sizes before it sends
        raise Invalid(f"{bucket}/{key}: {error}") from error


def _short(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return f"{type(reason or error).__name__}: {reason or error}"[:300]
