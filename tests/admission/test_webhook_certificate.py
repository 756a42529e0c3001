"""The webhook's certificate: for whom it is good, and that a renewal keeps what others still trust."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from vk_provider.admission.webhook_certificate import RENEWED_AT, WebhookCertificate, issue

NOW = datetime(2026, 12, 1, tzinfo=UTC)
NAMES = ["vk-provider-webhook.vk-provider.svc"]
HOUR = timedelta(hours=1)


def authorities(of: WebhookCertificate) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(of.authorities)


def test_it_is_good_for_its_names_until_its_renewal_is_due() -> None:
    made = issue(NAMES, NOW, lifetime=HOUR)
    assert made.is_good_for(NAMES, NOW)
    assert not made.is_good_for([*NAMES, "other"], NOW)
    assert made.is_good_for(NAMES, made.renewal_at - timedelta(seconds=1))
    assert not made.is_good_for(NAMES, made.renewal_at)
    assert abs((made.renewal_at - NOW) - HOUR * RENEWED_AT) < HOUR / 10
    assert not made.is_good_for(NAMES, NOW - HOUR)


def test_an_address_is_a_name_too() -> None:
    assert issue(["192.0.2.1"], NOW).is_good_for(["192.0.2.1"], NOW)
    assert issue(["2001:db8::1"], NOW).is_good_for(["2001:db8::1"], NOW)


def test_it_comes_back_from_a_secret() -> None:
    made = issue(NAMES, NOW)
    assert WebhookCertificate.from_secret(made.as_secret()) == made


OTHER = issue(NAMES, NOW)


@pytest.mark.parametrize(
    "harm",
    [
        {"tls.crt": b""},
        {"tls.crt": b"no PEM"},
        {"tls.key": b""},
        {"tls.key": OTHER.key},
        {"ca.crt": b""},
        {"ca.crt": OTHER.authorities},
        {"tls.crt": OTHER.certificate},
    ],
    ids=lambda harm: "-".join(harm),
)
def test_what_does_not_fit_together_is_good_for_nobody(harm: dict[str, bytes]) -> None:
    made = issue(NAMES, NOW)
    assert made.is_good_for(NAMES, NOW)
    assert not WebhookCertificate.from_secret({**made.as_secret(), **harm}).is_good_for(NAMES, NOW)


def test_a_renewal_keeps_the_authority_of_the_one_before_as_long_as_it_lives() -> None:
    first = issue(NAMES, NOW, lifetime=HOUR)
    second = issue(NAMES, NOW + HOUR / 2, before=first, lifetime=HOUR)
    assert second.is_good_for(NAMES, NOW + HOUR / 2)
    assert authorities(second)[1:] == authorities(first)
    third = issue(NAMES, NOW + HOUR * 1.2, before=second, lifetime=HOUR)
    assert authorities(third)[1:] == authorities(second)[:1]


def test_however_often_it_is_renewed_few_authorities_are_trusted() -> None:
    made = issue(NAMES, NOW)
    for _ in range(5):
        made = issue(NAMES, NOW, before=made)
    assert len(authorities(made)) == 3


def test_the_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(issue(NAMES, NOW))
