"""`keygen`, `sign` and `verify` as a lab and a theatre use them."""

import stat

import pytest

from ..commands import refused, run
from ..suites import change_bundle, copy_suite, lock_again, replace, set_suite

TRUSTED = "GLIOSCOPE_TRUSTED_KEYS"


@pytest.fixture(autouse=True)
def _no_trusted_keys(monkeypatch):
    monkeypatch.delenv(TRUSTED, raising=False)


@pytest.fixture
def suite(tiny_suite, tmp_path):
    return copy_suite(tiny_suite, tmp_path / "suite")


@pytest.fixture
def lab(tmp_path):
    """Stem of a key pair."""
    ran = run("keygen", tmp_path / "keys" / "lab")
    assert ran.code == 0, ran.err
    return tmp_path / "keys" / "lab"


def secret(stem):
    return stem.with_name(f"{stem.name}.pem")


def public(stem):
    return stem.with_name(f"{stem.name}.pub.pem")


@pytest.fixture
def signed(suite, lab):
    ran = run("sign", suite, "--key", secret(lab))
    assert ran.code == 0, ran.err
    assert f"signed: {suite / 'suite.json.sig'}" in ran.out
    return suite


def test_keygen_says_which_key_is_secret_and_never_overwrites(tmp_path):
    ran = run("keygen", tmp_path / "lab")
    assert ran.code == 0
    assert f"secret key {tmp_path / 'lab.pem'}" in ran.out
    assert f"public key {tmp_path / 'lab.pub.pem'}" in ran.out
    assert stat.S_IMODE((tmp_path / "lab.pem").stat().st_mode) == 0o600
    before = (tmp_path / "lab.pem").read_bytes()
    assert before.decode() not in ran.out
    refused(run("keygen", tmp_path / "lab"), "lab.pem", "exists already")
    assert (tmp_path / "lab.pem").read_bytes() == before


def test_a_signed_suite_is_verified(signed, lab):
    ran = run("verify", signed, "--trusted", public(lab))
    assert ran.code == 0, ran.err
    assert "signed by the trusted key" in ran.out
    assert "every file is as it was locked" in " ".join(ran.out.split())
    for bundle in ("tumor-fl", "tumor-wl", "tumor-fusion", "ki67-fl", "ki67-wl", "ki67-fusion"):
        assert bundle in ran.out
    assert "warning" not in ran.err


def test_the_trusted_keys_may_stand_in_the_environment(signed, lab, tmp_path, monkeypatch):
    monkeypatch.setenv(TRUSTED, str(public(lab)))
    assert "signed by the trusted key" in run("verify", signed).out
    run("keygen", tmp_path / "other")
    monkeypatch.setenv(TRUSTED, str(public(tmp_path / "other")))
    refused(run("verify", signed), "suite.json.sig", "none of the 1 trusted")


def test_without_trusted_keys_verify_says_that_the_signature_was_not_checked(suite):
    ran = run("verify", suite)
    assert ran.code == 0, ran.err
    assert "signature not checked" in ran.err
    assert "signed by" not in ran.out


def test_an_unsigned_suite_and_a_stranger(suite, lab, tmp_path):
    refused(run("verify", suite, "--trusted", public(lab)), str(suite), "is not signed")
    run("keygen", tmp_path / "stranger")
    run("sign", suite, "--key", secret(tmp_path / "stranger"))
    refused(run("verify", suite, "--trusted", public(lab)), "suite.json.sig", "none of the 1 trusted")


def test_a_bundle_that_was_changed_and_locked_again_passes_its_hashes_but_not_the_signature(signed, lab):
    """What signing is for: someone with access to every file makes all hashes agree."""
    change_bundle(signed, "tumor-fl", threshold={"logit": [99.0], "rule": "x", "chosen_on": "tune"})
    assert run("verify", signed).code == 0
    refused(run("verify", signed, "--trusted", public(lab)), "does not fit suite.json")


@pytest.mark.parametrize("name", ["tumor-fl", "ki67-wl"])
def test_a_changed_file_of_any_bundle_answering_or_not(signed, lab, name):
    replace(signed / name / "model_card.md", b"the best model of all")
    for command in (("verify", signed, "--trusted", public(lab)), ("sign", signed, "--key", secret(lab))):
        refused(run(*command), f"{name}/model_card.md", "was changed after the bundle was locked")


def test_a_suite_that_is_not_whole_is_not_signed(suite, lab):
    replace(suite / "ki67-wl" / "model.onnx", (suite / "ki67-fl" / "model.onnx").read_bytes())
    lock_again(suite, "ki67-wl")
    refused(run("sign", suite, "--key", secret(lab)), "ki67-wl", "has inputs")
    assert not (suite / "suite.json.sig").exists()


def test_a_bundle_from_elsewhere_is_not_followed(suite):
    set_suite(suite, bundles=["../elsewhere"])
    refused(run("verify", suite), "'../elsewhere' is not a folder of the suite")
    set_suite(suite, bundles=["unknown"])
    refused(run("verify", suite), "names bundle 'unknown' without its hash")


def test_wrong_keys(suite, lab, tmp_path):
    refused(run("sign", suite, "--key", public(lab)), "lab.pub.pem", "is not a private key")
    refused(run("sign", suite, "--key", tmp_path / "none.pem"), "none.pem", "no such file")
    refused(run("verify", suite, "--trusted", secret(lab)), "lab.pem", "holds a private key")
    refused(run("verify", suite, "--trusted", tmp_path / "none"), "none", "no such file")


@pytest.mark.parametrize("command", ["verify", "sign"])
def test_no_suite(tmp_path, lab, command):
    key = ("--trusted", public(lab)) if command == "verify" else ("--key", secret(lab))
    refused(run(command, tmp_path, *key), str(tmp_path), "no suite here")
