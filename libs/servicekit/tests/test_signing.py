"""Signed tokens: open one subject, until they expire."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit import signing
from servicekit.errors import Unauthenticated
from servicekit.signing import sign, verify

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@given(st.text(min_size=1), st.text())
def test_a_token_opens_its_subject_until_it_expires(secret: str, subject: str) -> None:
    token = sign(secret, subject, LATER)
    assert verify(secret, subject, token, now=NOW) == LATER
    with pytest.raises(Unauthenticated, match="expired at 2026-05-01T01:00:00") as caught:
        verify(secret, subject, token, now=LATER)
    assert caught.value.code == "expired"


@given(st.text())
def test_no_other_text_opens_anything(token: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        verify("secret", "subject", token, now=NOW)
    assert caught.value.code == "wrong"


@pytest.mark.parametrize(("secret", "subject"), [("secret", "other"), ("other", "subject"), ("", "subject")])
def test_another_subject_or_secret_is_wrong(secret: str, subject: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        verify(secret, subject, sign("secret", "subject", LATER), now=NOW)
    assert caught.value.code == "wrong"


def test_a_longer_life_cannot_be_written_into_a_token() -> None:
    expires, _, mac = sign("secret", "subject", LATER).partition(".")
    with pytest.raises(Unauthenticated) as caught:
        verify("secret", "subject", f"{int(expires) + 9999}.{mac}", now=NOW)
    assert caught.value.code == "wrong"


def test_an_empty_secret_signs_nothing() -> None:
    with pytest.raises(ValueError, match="empty secret"):
        sign("", "subject", LATER)
    seconds = int(LATER.timestamp())
    forged = f"{seconds}.{signing._digest('', 'subject', seconds)}"
    with pytest.raises(Unauthenticated):
        verify("", "subject", forged, now=NOW)
