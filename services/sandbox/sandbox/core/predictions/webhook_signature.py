"""Signatures of webhooks: Standard Webhooks with a symmetric secret, as Replicate sends them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets


def new_secret() -> str:
    """A fresh signing secret: `whsec_` and 24 random bytes in standard base64 (clients split on `_`)."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header `webhook-signature` for one attempt at `timestamp` (unix seconds)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
