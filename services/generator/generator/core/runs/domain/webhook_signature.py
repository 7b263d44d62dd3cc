"""Verifies that a webhook call comes from the provider: a Standard Webhooks signature over its raw bytes.

The `standardwebhooks` package (1.1) does the same, but it reads the system's clock, raises a ValueError for a
malformed header, and takes only bodies in UTF-8: each would have to be mended around it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from servicekit.errors import Unauthenticated

TOLERANCE = 300.0
"""Seconds that the call's timestamp may be off: the provider's own example (docs/provider.md, Webhooks)."""


def verify_signature(secret: str, headers: Mapping[str, str], body: bytes, *, now: datetime) -> str:
    """Answer the call's `webhook-id` when one of its signatures is right and its time is now.

    Args:
        secret: `whsec_` and base 64, as the provider gives it.
        headers: names in lower case.
        body: byte for byte as received.
        now: aware.

    Raises:
        Unauthenticated: a header is missing, the time is off by more than `TOLERANCE`, no signature is right.
    """
    try:
        message_id, timestamp, signatures = (
            headers[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        )
    except KeyError as missing:
        raise Unauthenticated(f"the webhook has no header {missing}: it is not from the provider") from None
    if (
        not timestamp.isascii()
        or not timestamp.isdigit()
        or abs(now.timestamp() - int(timestamp[:12])) > TOLERANCE
    ):
        raise Unauthenticated(
            f"the webhook's timestamp is not within {TOLERANCE:g} s of now: a replay, or a wrong clock here"
        )
    key = _decode(secret.removeprefix("whsec_"))
    if not key:
        raise Unauthenticated("the provider's webhook secret cannot be read: webhooks are refused")
    signed = message_id.encode() + b"." + timestamp.encode() + b"." + body
    expected = hmac.new(key, signed, hashlib.sha256).digest()
    if not any(hmac.compare_digest(expected, signature) for signature in _signatures(signatures)):
        raise Unauthenticated("the webhook's signature is wrong: it is not from the provider, or was changed")
    return message_id


def _signatures(header: str) -> list[bytes]:
    """The symmetric signatures; one of another version, or that is no base 64, is passed over."""
    pairs = (part.partition(",") for part in header.split())
    return [_decode(value) for version, _, value in pairs if version == "v1"]


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
