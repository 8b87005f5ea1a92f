"""Keys: wrapped as documented, refused when damaged or open to others, and gone for good once erased."""

import hashlib
import hmac
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from glioscope.cases._keys import CaseErased, CaseKey, KeyRing, check_pseudonym
from glioscope.core import InputError


@contextmanager
def full_disk(left_bytes):
    """Files cannot grow past `left_bytes`: the kernel's own refusal, half-way through a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def synced(monkeypatch):
    """What was put on disk, in order: the paths given to fsync, and the renames."""
    seen, fsync, replace = [], os.fsync, os.replace
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "fsync", lambda handle: (seen.append(Path(f"/proc/self/fd/{handle}").readlink()), fsync(handle))
        )
        patch.setattr(os, "replace", lambda a, b: (seen.append(("rename", Path(b))), replace(a, b)))
        yield seen


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("GLIOSCOPE_MASTER_KEY", raising=False)


@pytest.fixture
def ring(tmp_path):
    return KeyRing(tmp_path, create=True)


def unwrapped(folder, name, context):
    """The documented layout, opened without the code under test: 1, nonce of 12 bytes, AES-256-GCM."""
    sealed = (folder / "keys" / name).read_bytes()
    assert sealed[0] == 1
    master = AESGCM((folder / "master.key").read_bytes())
    return master.decrypt(sealed[1:13], sealed[13:], b"\x01" + context.encode())


def hkdf_sha256(secret, info):
    """RFC 5869 with no salt, one block."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


def test_a_sealed_record_opens_by_the_documented_layout_alone(ring, tmp_path):
    sealed = ring.new_case("c1").seal(b"glioma", "case")
    key = unwrapped(tmp_path, "c1.key", "c1")
    assert AESGCM(key).decrypt(sealed[1:13], sealed[13:], b"\x01case") == b"glioma"
    assert ring.case("c1").open(sealed, "case") == b"glioma"


def test_the_audit_key_is_the_hkdf_of_the_stores_secret(ring, tmp_path):
    secret = unwrapped(tmp_path, "store.secret", "store secret")
    assert ring.audit_key == hkdf_sha256(secret, b"glioscope audit trail")
    assert KeyRing(tmp_path, create=False).audit_key == ring.audit_key


def test_two_stores_on_one_master_key_have_two_audit_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOSCOPE_MASTER_KEY", str(tmp_path / "elsewhere.key"))
    one, two = KeyRing(tmp_path / "one", create=True), KeyRing(tmp_path / "two", create=True)
    assert one.master_file == two.master_file == tmp_path / "elsewhere.key"
    assert one.audit_key != two.audit_key
    assert not (tmp_path / "one" / "master.key").exists()


def test_each_case_has_its_own_key_and_nothing_of_it_lies_in_the_open(ring, tmp_path):
    keys = {name: ring.new_case(name) and unwrapped(tmp_path, f"{name}.key", name) for name in ("a", "b", "c")}
    assert len(set(keys.values())) == 3
    assert all(len(key) == 32 for key in keys.values())
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(key in everything for key in keys.values())
    with pytest.raises(InputError, match="belongs to another case"):
        ring.case("a").open(ring.case("b").seal(b"x", "case"), "case")


def test_keys_are_readable_by_their_owner_only(ring, tmp_path):
    ring.new_case("c1")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    for name in ("master.key", "keys/c1.key", "keys/store.secret"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_a_master_key_open_to_others_is_refused(ring, tmp_path, mode):
    (tmp_path / "master.key").chmod(mode)
    with pytest.raises(InputError, match=f"open to others \\(mode {mode:04o}\\): chmod 600"):
        KeyRing(tmp_path, create=False)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "master.key").unlink(), "master key .* cannot be read: No such file"),
        (lambda folder: (folder / "master.key").write_bytes(bytes(31)), "has 31 bytes, 32 are needed"),
        (lambda folder: (folder / "master.key").write_bytes(bytes(32)), "is not the master key of this store"),
        (lambda folder: (folder / "keys/store.secret").unlink(), "store.secret cannot be read"),
        (lambda folder: (folder / "keys/store.secret").write_bytes(b""), "is not the master key of this store"),
    ],
)
def test_a_store_without_its_keys_is_refused_with_a_sentence(ring, tmp_path, spoil, sentence):
    spoil(tmp_path)
    with pytest.raises(InputError, match=sentence):
        KeyRing(tmp_path, create=False)


def test_a_lost_master_key_is_never_replaced_by_a_new_one(ring, tmp_path):
    (tmp_path / "master.key").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        KeyRing(tmp_path, create=True)
    assert not (tmp_path / "master.key").exists()


def test_nothing_is_made_unless_told(tmp_path):
    with pytest.raises(InputError):
        KeyRing(tmp_path, create=False)
    assert not list(tmp_path.iterdir())


SEALED = CaseKey(bytes(32)).seal(b"WHO grade IV", "case")


@given(st.integers(0, 8 * len(SEALED) - 1))
def test_any_changed_bit_is_noticed(bit):
    changed = bytearray(SEALED)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InputError):
        CaseKey(bytes(32)).open(bytes(changed), "case")


@given(st.integers(0, len(SEALED) - 1))
def test_any_cut_is_noticed(length):
    with pytest.raises(InputError):
        CaseKey(bytes(32)).open(SEALED[:length], "case")


@given(st.binary(max_size=300), st.text(max_size=20, alphabet=st.characters(codec="utf-8")))
def test_what_is_sealed_opens_in_its_own_context_only(data, context):
    key = CaseKey(os.urandom(32))
    sealed = key.seal(data, context)
    assert key.open(sealed, context) == data
    assert len(sealed) == len(data) + 29
    with pytest.raises(InputError, match="does not open"):
        key.open(sealed, context + "x")


def test_nonces_are_never_repeated():
    key = CaseKey(bytes(32))
    assert len({key.seal(b"same", "same")[1:13] for _ in range(2000)}) == 2000


def test_an_erased_case_stays_erased_for_every_program_and_for_ever(ring, tmp_path):
    sealed = ring.new_case("c1").seal(b"x", "case")
    ring.new_case("c2")
    other = KeyRing(tmp_path, create=False)
    ring.erase("c1")
    ring.erase("c1")
    for keys in (ring, other, KeyRing(tmp_path, create=False), KeyRing(tmp_path, create=True)):
        with pytest.raises(CaseErased, match="case c1 was erased"):
            keys.case("c1")
        with pytest.raises(CaseErased):
            keys.new_case("c1")
        with pytest.raises(InputError):
            keys.case("c2").open(sealed, "case")


def test_the_bytes_of_an_erased_key_are_overwritten_before_the_name_goes(ring, tmp_path):
    ring.new_case("c1")
    os.link(tmp_path / "keys/c1.key", tmp_path / "same-bytes-on-disk")
    before = (tmp_path / "same-bytes-on-disk").read_bytes()
    ring.erase("c1")
    after = (tmp_path / "same-bytes-on-disk").read_bytes()
    assert not (tmp_path / "keys/c1.key").exists()
    assert len(after) >= len(before)
    assert not any(before[i : i + 8] in after for i in range(len(before) - 8))


def test_an_erasure_that_a_crash_cut_short_is_finished_at_the_next_start(ring, tmp_path):
    ring.new_case("c1")
    kept = (tmp_path / "keys/c1.key").read_bytes()
    ring.erase("c1")
    (tmp_path / "keys/c1.key").write_bytes(kept)
    with pytest.raises(CaseErased):
        ring.case("c1")
    KeyRing(tmp_path, create=False)
    assert not (tmp_path / "keys/c1.key").exists()


def test_the_tombstone_is_on_disk_before_the_key_goes(ring, tmp_path, monkeypatch):
    ring.new_case("c1")
    keys = (tmp_path / "keys").resolve()
    with synced(monkeypatch) as seen:
        ring.erase("c1")
    assert seen == [keys / "c1.erased", keys, keys / "c1.key", keys]


def test_a_new_key_and_its_name_are_on_disk_before_it_is_given(ring, tmp_path, monkeypatch):
    with synced(monkeypatch) as seen:
        ring.new_case("c1")
    keys = (tmp_path / "keys").resolve()
    assert seen == [keys / "c1.key", keys]


def test_a_case_gets_no_second_key(ring):
    sealed = ring.new_case("c1").seal(b"x", "case")
    with pytest.raises(InputError, match="exists already"):
        ring.new_case("c1")
    assert ring.case("c1").open(sealed, "case") == b"x"


def test_a_missing_key_is_not_called_erased(ring, tmp_path):
    ring.new_case("c1")
    (tmp_path / "keys/c1.key").unlink()
    with pytest.raises(InputError, match="key of case c1 cannot be read") as caught:
        ring.case("c1")
    assert not isinstance(caught.value, CaseErased)


def test_keys_of_two_cases_cannot_be_exchanged(ring, tmp_path):
    ring.new_case("a")
    ring.new_case("b")
    (tmp_path / "keys/b.key").write_bytes((tmp_path / "keys/a.key").read_bytes())
    with pytest.raises(InputError, match="key of case b was changed"):
        ring.case("b")


def test_a_full_disk_leaves_no_half_key(ring, tmp_path):
    with full_disk(20), pytest.raises(InputError, match=r"c1\.key cannot be written"):
        ring.new_case("c1")
    assert not (tmp_path / "keys/c1.key").exists()
    ring.new_case("c1")


@pytest.mark.parametrize("name", ["../c1", "a/b", "", ".hidden", "Jane Doe", "c1\n", "x" * 65, "ä", "a\0b"])
def test_a_name_that_is_no_pseudonym_is_refused_and_not_repeated(ring, name):
    for call in (ring.new_case, ring.case, ring.erase):
        with pytest.raises(InputError, match="is no pseudonym") as caught:
            call(name)
        assert len(name) < 2 or name not in str(caught.value)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True))
def test_every_pseudonym_of_the_records_will_do(name):
    check_pseudonym("case", name)


def test_the_digest_of_nothing_is_known():
    """The reference itself: RFC 5869, test case 3 (no salt, no info), first 32 bytes."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert hkdf_sha256(b"\x0b" * 22, b"").hex() == expected
    assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
