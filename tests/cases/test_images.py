"""Pictures: sealed, whole or not there at all, and on disk before anybody hears of them."""

import hashlib
import os
import threading
import time

import pytest

from glioscope.cases._images import ImageFolder
from glioscope.cases._keys import CaseKey
from glioscope.core import InputError

from .test_keys import full_disk, synced

KEY = CaseKey(bytes(32))
PICTURE = bytes(range(256)) * 400


@pytest.fixture
def images(tmp_path):
    return ImageFolder(tmp_path / "images")


def path_of(tmp_path, name):
    return tmp_path / "images" / name[:2] / name


def test_a_picture_comes_back_and_lies_sealed_under_the_hash_of_its_bytes(images, tmp_path):
    name = images.put(KEY, PICTURE)
    sealed = path_of(tmp_path, name).read_bytes()
    assert images.get(KEY, name) == PICTURE
    assert hashlib.sha256(sealed).hexdigest() == name
    assert PICTURE[:64] not in sealed
    assert images.damaged(name) == ""


def test_the_same_picture_twice_cannot_be_told_from_two(images):
    assert images.put(KEY, PICTURE) != images.put(KEY, PICTURE)


def test_file_and_folder_are_on_disk_before_the_name_is_given(images, tmp_path, monkeypatch):
    with synced(monkeypatch) as seen:
        name = images.put(KEY, PICTURE)
    folder = (tmp_path / "images" / name[:2]).resolve()
    assert len(seen) == 3
    assert seen[0].parent == folder
    assert seen[0].name.startswith(".")
    assert seen[1:] == [("rename", tmp_path / "images" / name[:2] / name), folder]


def test_the_subfolders_are_on_disk_before_the_first_picture(tmp_path, monkeypatch):
    with synced(monkeypatch) as seen:
        ImageFolder(tmp_path / "images")
    assert seen == [(tmp_path / "images").resolve(), tmp_path.resolve()]
    assert len(list((tmp_path / "images").iterdir())) == 256


@pytest.mark.parametrize("at", [0, 5, 20, -1])
def test_a_changed_picture_is_named(images, tmp_path, at):
    name = images.put(KEY, PICTURE)
    sealed = bytearray(path_of(tmp_path, name).read_bytes())
    sealed[at] ^= 1
    path_of(tmp_path, name).write_bytes(sealed)
    with pytest.raises(InputError, match=f"image {name} was changed"):
        images.get(KEY, name)
    assert images.damaged(name) == f"image {name} was changed: its SHA-256 does not fit its name"


def test_a_picture_that_was_cut_off_is_named(images, tmp_path):
    name = images.put(KEY, PICTURE)
    os.truncate(path_of(tmp_path, name), 1000)
    with pytest.raises(InputError, match=f"image {name} was changed"):
        images.get(KEY, name)


def test_a_missing_picture_is_named(images):
    name = images.put(KEY, PICTURE)
    images.delete(name)
    images.delete(name)
    with pytest.raises(InputError, match=f"image {name} is missing"):
        images.get(KEY, name)
    assert images.damaged(name) == f"image {name} is missing"


def test_a_picture_of_another_case_does_not_open(images):
    name = images.put(KEY, PICTURE)
    with pytest.raises(InputError, match="belongs to another case"):
        images.get(CaseKey(b"\x01" * 32), name)


def test_the_names_are_those_of_the_pictures_and_of_nothing_else(images, tmp_path):
    names = {images.put(KEY, bytes([number])) for number in range(40)}
    (tmp_path / "images" / "00" / ".half-xyz").write_bytes(b"half")
    (tmp_path / "images" / "README").write_text("x")
    assert list(images.names()) == sorted(names)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(images, tmp_path):
    with full_disk(50_000), pytest.raises(InputError, match="picture cannot be kept") as caught:
        images.put(KEY, PICTURE)
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "images").rglob("*") if path.is_file()]
    assert images.get(KEY, images.put(KEY, PICTURE)) == PICTURE


@pytest.mark.parametrize("name", ["../../master.key", "", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_a_name_that_leads_elsewhere_is_refused(images, name):
    for call in (lambda: images.get(KEY, name), lambda: images.delete(name), lambda: images.modified_s_ago(name)):
        with pytest.raises(InputError, match="64 hexadecimal digits"):
            call()
    assert "64 hexadecimal digits" in images.damaged(name)


def test_only_old_half_written_files_are_swept(images, tmp_path):
    name = images.put(KEY, PICTURE)
    old, young = tmp_path / "images/00/.old", tmp_path / "images/00/.young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    os.utime(path_of(tmp_path, name), (long_ago, long_ago))
    assert images.sweep() == 1
    assert young.exists()
    assert not old.exists()
    assert images.get(KEY, name) == PICTURE
    assert images.modified_s_ago(name) == pytest.approx(7200, abs=60)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used: Not a directory"):
        ImageFolder(tmp_path / "file" / "images")


def test_many_threads_put_and_get_at_once(images):
    names = {}

    def work(number):
        for step in range(10):
            picture = bytes([number, step]) * 500
            names[images.put(KEY, picture)] = picture

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 80
    assert all(images.get(KEY, name) == picture for name, picture in names.items())
