"""Signs webhooks as Replicate does: Standard Webhooks with a symmetric secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets


def new_secret() -> str:
    """`whsec_` and 24 random bytes in standard base64, which has no `_`: clients split there."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature` of a message that is sent at `timestamp` (Unix seconds)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
