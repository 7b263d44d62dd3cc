"""Signs and verifies the tokens in signed addresses: each opens one subject until it expires.

A token is `<expires, Unix seconds>.<URL-safe base 64 of HMAC-SHA256(secret, subject|expires)>`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime

from servicekit.errors import Unauthenticated

# The seconds are bounded so that the digits of a forged token can never be too many to parse or to show.
TOKEN = re.compile(r"(\d{1,11})\.([A-Za-z0-9_-]{43})")


def sign(secret: str, subject: str, expires: datetime) -> str:
    """Make the token that opens `subject` (what it is for, such as "media:med_…") until `expires` (aware)."""
    if not secret:
        raise ValueError("signing with an empty secret would let everybody in; set one")
    seconds = int(expires.timestamp())
    return f"{seconds}.{_digest(secret, subject, seconds)}"


def verify(secret: str, subject: str, token: str, *, now: datetime) -> datetime:
    """Answer when the token expires, when it opens `subject` now.

    Raises:
        Unauthenticated: code "expired" when it was right but its time is over, code "wrong" when it is
            not a token for this subject.
    """
    parsed = TOKEN.fullmatch(token)
    # The signature comes first: only the holder of a right token learns that it has expired.
    if not secret or parsed is None or not _matches(secret, subject, parsed):
        raise Unauthenticated("this address is not signed for what it asks: ask for a new one", code="wrong")
    expires = datetime.fromtimestamp(int(parsed[1]), UTC)
    if now >= expires:
        raise Unauthenticated(
            f"this address expired at {expires.isoformat()}: ask for a new one", code="expired"
        )
    return expires


def _matches(secret: str, subject: str, parsed: re.Match[str]) -> bool:
    return hmac.compare_digest(parsed[2], _digest(secret, subject, int(parsed[1])))


def _digest(secret: str, subject: str, seconds: int) -> str:
    mac = hmac.new(secret.encode(), f"{subject}|{seconds}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
