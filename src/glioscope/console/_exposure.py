"""Whether the console may be reached from outside this machine, and the TLS with which it is."""

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from glioscope.cases import AccountRole, Accounts
from glioscope.core import InputError

from ._settings import ConsoleSettings

DEFAULT_PASSWORDS: Final = ("glioscope-demo",)
"""Passwords that stand in the documentation."""


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name may lead anywhere


def check_exposure(settings: ConsoleSettings, accounts: Accounts) -> None:
    """Refuse to be reachable from outside without TLS and accounts of one's own.

    Raises
    ------
    InputError : `settings.host` is not loopback, and there is no certificate, an account with a password that is in
        the documentation, or no enabled administrator.
    """
    if is_loopback(settings.host):
        return
    where = f"{settings.host} can be reached from other machines"
    if settings.certificate is None or settings.key is None:
        raise InputError(f"{where}: give a TLS certificate and its key, or stay on 127.0.0.1")
    known = [account for account in accounts.all() if account.enabled]
    if not any(account.role is AccountRole.ADMINISTRATOR for account in known):
        raise InputError(f"{where}: make an account of an administrator first")
    for account in known:
        if any(accounts.authenticate(account.name, password) is not None for password in DEFAULT_PASSWORDS):
            raise InputError(f"{where}: account {account.name} has the password of the demo; set another")


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what TLS 1.2 and newer needs; None without a certificate.

    Raises
    ------
    InputError : only one of the two, a file that cannot be read or used, a key of another certificate or under a
        passphrase, a certificate that has run out.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InputError(f"a TLS {'key' if certificate is None else 'certificate'} alone is no use; give both")
    _check_readable(certificate, "certificate")
    _check_readable(key, "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=lambda: _refuse_passphrase(key))
    except (ssl.SSLError, ValueError) as error:
        raise InputError(f"{certificate} and {key} are no PEM certificate and its private key") from error
    _check_dates(certificate)
    return context


def _refuse_passphrase(key: Path) -> str:
    raise InputError(f"{key}: the key is under a passphrase; the console cannot ask for it, store it without one")


def _check_readable(path: Path, what: str) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the TLS {what} cannot be read: {error.strerror}") from error


def _check_dates(certificate: Path) -> None:
    first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    now = datetime.now(UTC)
    if now > first.not_valid_after_utc:
        raise InputError(f"{certificate}: the certificate ran out on {first.not_valid_after_utc:%Y-%m-%d}")
    if now < first.not_valid_before_utc:
        raise InputError(f"{certificate}: the certificate is not valid before {first.not_valid_before_utc:%Y-%m-%d}")
