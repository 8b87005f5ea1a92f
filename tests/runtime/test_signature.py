"""A suite that no trusted key has signed, or that was changed since, is refused in one sentence."""

import base64
import hashlib
import json
import os
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from glioscope.core import BundleError, InputError, SuiteInfo
from glioscope.runtime._signature import (
    key_id,
    new_key,
    read_private_key,
    sign_suite,
    trusted_keys,
    verify_suite,
    write_key_pair,
)

LAB, OTHER = new_key(), new_key()


@pytest.fixture
def suite(tmp_path):
    """A suite whose bundles are not needed here: a signature is of `suite.json`, which holds their hashes."""
    info = SuiteInfo(
        data_kind="simulated", answers={"tumor": "tumor-fl"}, bundles=("tumor-fl",), sha256={"tumor-fl": "0" * 64}
    )
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "suite.json").write_text(info.model_dump_json(indent=2))
    return folder


@pytest.fixture
def signed(suite):
    sign_suite(suite, LAB[0])
    return suite


def refused(suite, *words, trusted=(LAB[1],)):
    with pytest.raises(BundleError) as caught:
        verify_suite(suite, trusted)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(suite), *words):
        assert word in message, (word, message)


def change_signature(suite, **fields):
    path = suite / "suite.json.sig"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_signed_suite_is_accepted_and_names_its_key(signed):
    assert verify_suite(signed, [OTHER[1], LAB[1]]) == key_id(LAB[1])


def test_the_signature_is_what_the_documentation_says(signed):
    """With `cryptography` alone, from docs/security.md."""
    record = json.loads((signed / "suite.json.sig").read_text())
    public = serialization.load_pem_public_key(LAB[1])
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    assert set(record) == {"schema_version", "algorithm", "key_id", "signed_at", "signature"}
    assert (record["schema_version"], record["algorithm"]) == (1, "Ed25519")
    assert record["key_id"] == hashlib.sha256(raw).hexdigest()
    prefix = b"glioscope suite signature 1\n" + record["signed_at"].encode() + b"\n"
    public.verify(base64.b64decode(record["signature"]), prefix + (signed / "suite.json").read_bytes())


def test_keys_and_signatures_are_those_of_openssl(signed, tmp_path):
    """Independent reference: OpenSSL's own program reads the key and accepts the signature."""
    record = json.loads((signed / "suite.json.sig").read_text())
    message = b"glioscope suite signature 1\n" + record["signed_at"].encode() + b"\n"
    (tmp_path / "message").write_bytes(message + (signed / "suite.json").read_bytes())
    (tmp_path / "signature").write_bytes(base64.b64decode(record["signature"]))
    (tmp_path / "key").write_bytes(LAB[1])
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "message"]
    try:
        ran = subprocess.run(
            [*command, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        pytest.skip("OpenSSL's program is not installed")
    assert "Verified Successfully" in ran.stdout, ran


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_a_changed_byte_of_the_suite(signed, place):
    content = bytearray((signed / "suite.json").read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    (signed / "suite.json").write_bytes(bytes(content))
    refused(signed, "does not fit suite.json")


def test_space_that_json_does_not_see_is_signed_as_well(signed):
    (signed / "suite.json").write_bytes((signed / "suite.json").read_bytes() + b"\n")
    refused(signed, "does not fit suite.json")


def test_the_date_is_signed(signed):
    change_signature(signed, signed_at="2021-01-01T00:00:00Z")
    refused(signed, "does not fit suite.json")


def test_every_byte_of_the_signature_counts(signed):
    whole = base64.b64decode(json.loads((signed / "suite.json.sig").read_text())["signature"])
    for place in range(64):
        changed = bytearray(whole)
        changed[place] ^= 1
        change_signature(signed, signature=base64.b64encode(changed).decode())
        refused(signed, "does not fit suite.json")
    change_signature(signed, signature=base64.b64encode(whole).decode())
    verify_suite(signed, [LAB[1]])


def test_not_signed(suite):
    refused(suite, "is not signed (suite.json.sig is missing)")


def test_no_suite(tmp_path):
    refused(tmp_path, "no suite here")
    with pytest.raises(BundleError, match="no suite here"):
        sign_suite(tmp_path, LAB[0])
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_signature(suite):
    (suite / "suite.json.sig").mkdir()
    refused(suite, "is not signed")


def test_signed_by_a_key_that_is_not_trusted(signed):
    refused(signed, f"signed by key {key_id(LAB[1])[:16]}", "none of the 1 trusted", trusted=[OTHER[1]])


def test_no_trusted_key_trusts_nobody(signed):
    refused(signed, "none of the 0 trusted", trusted=[])


def test_a_stranger_cannot_name_the_key_of_the_lab(suite):
    sign_suite(suite, OTHER[0])
    change_signature(suite, key_id=key_id(LAB[1]))
    refused(suite, "does not fit suite.json")


def test_a_signature_of_the_same_bytes_without_the_prefix_does_not_fit(signed):
    key = serialization.load_pem_private_key(LAB[0], None)
    bare = key.sign((signed / "suite.json").read_bytes())
    change_signature(signed, signature=base64.b64encode(bare).decode())
    refused(signed, "does not fit suite.json")


def test_a_signature_of_another_suite_does_not_fit(signed, tmp_path):
    info = SuiteInfo(data_kind="real", answers={"tumor": "a"}, bundles=("a",), sha256={"a": "1" * 64})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "suite.json").write_text(info.model_dump_json())
    (tmp_path / "other" / "suite.json.sig").write_bytes((signed / "suite.json.sig").read_bytes())
    refused(tmp_path / "other", "does not fit suite.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 4000, b'{"schema_version": 1}', b'{"key_id": 3}'],
)
def test_a_malformed_signature(suite, content):
    (suite / "suite.json.sig").write_bytes(content)
    refused(suite, "suite.json.sig", "is not a signature of a suite")


@pytest.mark.parametrize(
    "fields",
    [
        {"schema_version": 2},
        {"algorithm": "none"},
        {"algorithm": "RSA"},
        {"key_id": "0" * 63},
        {"key_id": "../" + "0" * 61},
        {"signature": ""},
        {"signature": "A" * 87 + "="},
        {"signed_at": "yesterday"},
        {"signed_at": "2026-01-01T00:00:00Z\n"},
        {"comment": "x"},
    ],
)
def test_a_signature_with_a_wrong_field(signed, fields):
    change_signature(signed, **fields)
    refused(signed, "is not a signature of a suite", next(iter(fields)))


def test_an_oversized_signature_is_not_read(suite):
    (suite / "suite.json.sig").write_bytes(b" " * 5000)
    refused(suite, "over the limit of 4096 bytes")


def test_what_was_read_is_what_is_verified(signed):
    """A caller gives the bytes that it parses: a file that changes in between deceives nobody."""
    content = (signed / "suite.json").read_bytes()
    (signed / "suite.json").write_bytes(content.replace(b"simulated", b"real"))
    assert verify_suite(signed, [LAB[1]], content=content) == key_id(LAB[1])
    refused(signed, "does not fit suite.json")


def test_signing_again_replaces_the_signature_and_leaves_nothing_else(signed):
    sign_suite(signed, OTHER[0])
    assert verify_suite(signed, [OTHER[1]]) == key_id(OTHER[1])
    assert sorted(p.name for p in signed.iterdir()) == ["suite.json", "suite.json.sig"]


def test_only_a_suite_is_signed(suite):
    (suite / "suite.json").write_text("{}")
    with pytest.raises(BundleError, match="schema version"):
        sign_suite(suite, LAB[0])
    assert not (suite / "suite.json.sig").exists()


class TestKeys:
    def test_two_keys_differ(self):
        assert len({LAB[0], LAB[1], OTHER[0], OTHER[1]}) == 4
        assert key_id(LAB[1]) != key_id(OTHER[1])

    def test_the_pair_belongs_together_and_only_its_owner_reads_the_secret(self, tmp_path):
        private, public = write_key_pair(tmp_path / "keys" / "lab.2026")
        assert (private.name, public.name) == ("lab.2026.pem", "lab.2026.pub.pem")
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        key = serialization.load_pem_private_key(private.read_bytes(), None)
        assert key.public_key() == serialization.load_pem_public_key(public.read_bytes())
        assert read_private_key(private) == private.read_bytes()

    def test_the_secret_is_never_readable_by_others_whatever_the_umask(self, tmp_path):
        before = os.umask(0)
        try:
            private, _ = write_key_pair(tmp_path / "lab")
        finally:
            os.umask(before)
        assert stat.S_IMODE(private.stat().st_mode) == 0o600

    @pytest.mark.parametrize("name", ["lab.pem", "lab.pub.pem"])
    def test_a_key_is_never_overwritten(self, tmp_path, name):
        (tmp_path / name).write_text("dear")
        with pytest.raises(InputError, match=f"{name}: exists already"):
            write_key_pair(tmp_path / "lab")
        assert [p.name for p in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_text() == "dear"

    def test_a_link_to_nowhere_is_not_followed(self, tmp_path):
        (tmp_path / "lab.pem").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(InputError, match="exists already"):
            write_key_pair(tmp_path / "lab")
        assert not (tmp_path / "elsewhere").exists()

    def test_half_a_pair_is_taken_back(self, tmp_path, monkeypatch):
        def full(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_key_pair(tmp_path / "lab")
        assert not list(tmp_path.iterdir())

    def test_trusted_keys_of_a_file_and_of_a_folder(self, tmp_path):
        (tmp_path / "a.pub.pem").write_bytes(LAB[1])
        (tmp_path / "b.pem").write_bytes(OTHER[1])
        (tmp_path / "README.txt").write_text("keys of the lab")
        (tmp_path / "both.keys").write_bytes(b"# lab and other\n" + LAB[1] + b"\n" + OTHER[1])
        expected = {key_id(LAB[1]), key_id(OTHER[1])}
        for path in (tmp_path, tmp_path / "both.keys"):
            assert {key_id(pem) for pem in trusted_keys(path)} == expected
        assert [key_id(pem) for pem in trusted_keys(tmp_path / "a.pub.pem")] == [key_id(LAB[1])]

    def test_a_secret_key_does_not_belong_among_the_trusted_ones(self, tmp_path):
        write_key_pair(tmp_path / "lab")
        with pytest.raises(InputError, match=r"lab\.pem: holds a private key"):
            trusted_keys(tmp_path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "holds no public key"),
            (b"hello", "holds no public key"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is not a public key in PEM"),
            (b"x" * 70_000, "over the limit of 65536 bytes"),
            (
                ec.generate_private_key(ec.SECP256R1())
                .public_key()
                .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
                "of another kind, Ed25519 is needed",
            ),
        ],
    )
    def test_what_is_no_trusted_key(self, tmp_path, content, words):
        path = tmp_path / "key.pem"
        path.write_bytes(content)
        for where in (path, tmp_path):
            with pytest.raises(InputError, match=words) as caught:
                trusted_keys(where)
            assert str(path) in str(caught.value)

    def test_no_trusted_key_at_all(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            trusted_keys(tmp_path / "none")
        with pytest.raises(InputError, match="holds no public key"):
            trusted_keys(tmp_path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"hello", "without a passphrase"),
            (LAB[1], "without a passphrase"),
            (
                ed25519.Ed25519PrivateKey.generate().private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.BestAvailableEncryption(b"secret"),
                ),
                "without a passphrase",
            ),
            (
                ec.generate_private_key(ec.SECP256R1()).private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ),
                "of another kind, Ed25519 is needed",
            ),
        ],
    )
    def test_what_is_no_private_key(self, suite, tmp_path, content, words):
        path = tmp_path / "key.pem"
        path.write_bytes(content)
        with pytest.raises(InputError, match=words) as caught:
            read_private_key(path)
        assert str(path) in str(caught.value)
        with pytest.raises(InputError, match=words):
            sign_suite(suite, content)
        assert not (suite / "suite.json.sig").exists()
