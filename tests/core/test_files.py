import errno
import os
import stat

import pytest

from glioscope.core import atomic_file, atomic_folder, sha256_of, write_text


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_file_appears_whole_with_its_folders(tmp_path):
    target = tmp_path / "a" / "b" / "x.txt"
    with atomic_file(target) as temporary:
        assert temporary.suffix == ".txt"
        assert temporary.parent == target.parent
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(target.parent) == ["x.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failing_writer_leaves_the_old_file_and_no_temporary(tmp_path, error):
    target = tmp_path / "x.csv"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["x.csv"]


def test_a_failing_writer_leaves_the_old_folder_and_no_temporary(tmp_path):
    target = tmp_path / "suite"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "half").write_text("half")
        raise RuntimeError
    assert names(target) == ["old"]
    assert names(tmp_path) == ["suite"]


def test_a_folder_takes_the_place_of_an_old_one(tmp_path):
    target = tmp_path / "suite"
    for name in ("first", "second"):
        with atomic_folder(target) as temporary:
            (temporary / name).write_text(name)
        assert names(target) == [name]
        assert names(tmp_path) == ["suite"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "suite"
    target.mkdir()
    (target / "old").write_text("old")
    real, calls = os.replace, []

    def second_fails(source, destination):
        calls.append(source)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        real(source, destination)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(target) as temporary:
        (temporary / "new").write_text("new")
    assert names(target) == ["old"]
    assert names(tmp_path) == ["suite"]


@pytest.mark.parametrize(("mask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_mode_bits_are_those_of_any_new_file(tmp_path, mask, file_mode, folder_mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "x.txt", "x")
        with atomic_folder(tmp_path / "folder"):
            pass
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == file_mode
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == folder_mode


def test_an_error_without_a_file_name_gets_that_of_the_target(tmp_path):
    with pytest.raises(OSError, match="No space") as caught, atomic_file(tmp_path / "x.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "x.csv")


def test_an_error_that_is_a_sentence_stays_it(tmp_path):
    with pytest.raises(OSError, match=r"^the picture could not be written$"), atomic_file(tmp_path / "x.csv"):
        raise OSError("the picture could not be written")


def test_text_is_utf8_and_hashed_as_sha256sum_does(tmp_path):
    write_text(tmp_path / "x.txt", "Gliom ≥ 10 %\n")
    assert (tmp_path / "x.txt").read_bytes() == b"Gliom \xe2\x89\xa5 10 %\n"
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
