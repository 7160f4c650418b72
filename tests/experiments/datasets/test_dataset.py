"""Folders of photos, their fingerprint and the decoded file; what holds for every source is in contract/."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import datasets
from experiments.datasets import Augmentation, image_decoding, image_folder
from experiments.datasets.cache_files import read_sealed, write_sealed
from experiments.datasets.split import subset
from experiments.settings import InputError

KAGGLE = [f"{kind}.{number}.jpg" for kind in ("cat", "dog") for number in range(8)]


def photo(path, mode="RGB", size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([*path.name.encode()]).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


def photos(root, names=KAGGLE):
    for name in names:
        photo(root / name)
    return root


def images(root, **settings):
    return datasets.check("data", {"name": "images", "path": str(root), "image_size": 8, **settings})


@pytest.fixture
def kaggle(tmp_path):
    return photos(tmp_path / "photos")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def decoded_files(cache):
    return sorted(
        file.name for file in cache.iterdir() if file.name.startswith("images") and file.suffix != ".lock"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "image"}, r"data\.name: unknown data set 'image'; did you mean 'images'"),
        ({}, r"data: setting 'name' is missing"),
        ({"name": "digits", "image_sise": 32}, r"data\.image_sise: unknown setting.*'image_size'"),
        ({"name": "digits", "image_size": 0}, r"data\.image_size: expected 1 to 8,192 pixels, got 0"),
        ({"name": "digits", "image_size": -3}, r"data\.image_size: .*got -3"),
        ({"name": "digits", "limit": 0}, r"data\.limit: expected at least 1"),
        ({"name": "digits", "validation": 0}, r"data\.validation: .*got 0"),
        ({"name": "digits", "validation": 1.0}, r"data\.validation: .*got 1\.0"),
        ({"name": "digits", "test": 1}, r"data\.test: expected a fraction from 0, .*got 1\.0"),
        ({"name": "digits", "test": -0.1}, r"data\.test: .*got -0\.1"),
        (
            {"name": "digits", "validation": 0.4, "test": 0.6},
            r"data\.validation and data\.test: .*sum below 1, got 0\.4 and 0\.6",
        ),
        (
            {"name": "digits", "path": "photos"},
            r"data\.path: digits takes no path.*'photos'.*data\.name=images",
        ),
        ({"name": "images"}, r"data\.path: images needs a folder, got None.*cat\.0\.jpg"),
        ({"name": "images", "path": "s4://photos/cats"}, r"data\.path s4://photos/cats: expected a folder, s3:"),
        ({"name": "images", "path": "s3://"}, r"data\.path s3://: expected s3://bucket/prefix, got no bucket"),
        ({"name": "images", "path": "s3://k:secret@b/a"}, r"data\.path: an address must not hold credentials"),
        ({"name": "images", "path": "gs://b/a?regon=1"}, r"data\.path gs://b: unknown option 'regon'"),
        ({"name": "cifar10"}, r"data\.path: cifar10 needs.*Nothing is downloaded.*cs\.toronto\.edu"),
        ({"name": "digits", "augmentation": {"flip": True}}, r"data\.augmentation\.flip: unknown setting"),
        ({"name": "digits", "augmentation": {"shift": -1}}, r"data\.augmentation\.shift: .*got -1"),
        (
            {"name": "digits", "image_size": 8, "augmentation": {"shift": 8}},
            r"shift: expected .*fewer than the image has \(8\), got 8",
        ),
    ],
)
def test_a_wrong_setting_is_named(given, message):
    with pytest.raises(InputError, match=message):
        datasets.check("data", given)


def test_every_setting_arrives():
    augmentation = {"horizontal_flip": True, "shift": 2}
    given = {"image_size": 16, "validation": 0.5, "test": 0.1, "limit": 40, "split_seed": 7}
    data = datasets.check("data", {"name": "digits", **given, "augmentation": augmentation})
    assert data == datasets.Data(
        name="digits",
        path=None,
        image_size=16,
        validation=0.5,
        test=0.1,
        limit=40,
        split_seed=7,
        augmentation=Augmentation(horizontal_flip=True, shift=2),
    )


def test_both_layouts_are_read_and_strangers_are_ignored(kaggle, tmp_path, cache):
    photo(kaggle / "._cat.9.jpg")
    (kaggle / "readme.txt").write_text("not an image")
    (kaggle / ".hidden").mkdir()
    by_folder = photos(tmp_path / "by-folder", [f"{name[:3]}/{name[4:]}" for name in KAGGLE])
    photo(by_folder / "__MACOSX" / "deep" / "0.jpg")
    for root in (kaggle, by_folder):
        loaded = datasets.load(images(root), cache)
        assert loaded.description.classes == ("cat", "dog")
        assert loaded.labels.tolist() == [0] * 8 + [1] * 8
        assert (loaded.description.train, loaded.description.validation) == (12, 4)


def test_every_suffix_in_any_case_and_every_mode_decodes(tmp_path, cache):
    suffixes = ["jpg", "jpeg", "png", "bmp", "webp", "gif", "JPG", "Png", "JPEG"]
    for number, suffix in enumerate(suffixes):
        photo(tmp_path / "photos" / f"cat.{number}.{suffix}")
    for mode, suffix in [
        ("L", "jpg"),
        ("CMYK", "jpg"),
        ("RGBA", "png"),
        ("P", "png"),
        ("1", "png"),
        ("LA", "png"),
    ]:
        photo(tmp_path / "photos" / f"dog.{mode}.{suffix}", mode=mode)
    loaded = datasets.load(images(tmp_path / "photos"), cache)
    assert loaded.images.shape == (15, 8, 8, 3)
    assert np.ptp(loaded.images, axis=(1, 2, 3)).min() > 0


def test_pixels_are_those_of_the_photo(tmp_path):
    flat = tmp_path / "flat.png"
    Image.new("RGB", (50, 20), (10, 200, 30)).save(flat)
    assert (image_decoding.decoded(flat.read_bytes(), 16) == (10, 200, 30)).all()
    half = tmp_path / "half.png"
    Image.fromarray(np.full((20, 20), 32768, np.uint16)).save(half)
    assert (image_decoding.decoded(half.read_bytes(), 4) == 128).all()
    photo(tmp_path / "noise.jpg", size=(100, 100))
    whole = Image.open(tmp_path / "noise.jpg").resize((40, 40), Image.Resampling.BILINEAR)
    assert (image_decoding.decoded((tmp_path / "noise.jpg").read_bytes(), 40) == np.asarray(whole)).all()


def test_a_photo_decoded_at_a_reduced_scale_shows_the_same(tmp_path):
    ramp = np.linspace(0, 255, 400).astype(np.uint8)[None, :, None].repeat(300, axis=0).repeat(3, axis=2)
    Image.fromarray(ramp).save(tmp_path / "ramp.jpg", quality=95)
    reduced = image_decoding.decoded((tmp_path / "ramp.jpg").read_bytes(), 10).astype(int)
    assert np.abs(reduced - (np.arange(10) * 25.5 + 12.75)[None, :, None]).max() <= 3


def nested(root):
    for part in ("test", "train"):
        photos(root / part / "cat"), photos(root / part / "dog")


def kaggle_parts(root):
    photos(root / "train"), photos(root / "test1", ["1.jpg", "2.jpg"])


def mixed(root):
    photos(root), photos(root / "more")


def thin(root):
    photos(root / "cat"), photos(root / "dog"), photos(root / "owl", ["1.jpg"]), (root / "eel").mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, r"data\.path: no such folder: .*place \(looked for /"),
        (lambda root: root.write_text(""), r"data\.path: .*place is a file, expected a folder"),
        (lambda root: root.mkdir(), r"data\.path: no images in .*place; expected files ending in \.jpg"),
        (
            lambda root: photos(root / "inner"),
            r"holds one class only \(inner\).*did you mean data\.path=.*place/inner\?",
        ),
        (
            lambda root: photos(root, ["cat.0.jpg", "cat.1.jpg"]),
            r"holds one class only \(cat\); expected two or more$",
        ),
        (nested, r"holds folders in folders \(test/cat\).*did you mean data\.path=.*place/train\?$"),
        (kaggle_parts, r"'train' looks like a part of the data.*did you mean data\.path=.*place/train\?$"),
        (mixed, r"holds images as well as folders of images \(more\)"),
        (thin, r"at least 2 images of every class, fewer in: eel \(0\), owl \(1\)"),
        (
            lambda root: photos(root, ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]),
            r"fewer in: 1 \(1\).*and 1 more.*first dot",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_found_before_anything_is_written(make, message, tmp_path, cache):
    make(tmp_path / "place")
    with pytest.raises(InputError, match=message):
        datasets.describe(images(tmp_path / "place"), cache)
    assert not cache.exists()


def test_a_test_set_needs_one_image_more_of_every_class(tmp_path, cache):
    root = photos(tmp_path / "photos", ["cat/0.jpg", "cat/1.jpg", "cat/2.jpg", "dog/0.jpg", "dog/1.jpg"])
    assert datasets.describe(images(root), cache).test == 0
    with pytest.raises(InputError, match=r"with a test set needs at least 3 .*fewer in: dog \(2\)"):
        datasets.describe(images(root, test=0.1), cache)
    photos(root, ["dog/2.jpg"])
    divided = datasets.describe(images(root, test=0.1), cache)
    assert (divided.train, divided.validation, divided.test, divided.majority) == (2, 2, 2, 0.5)


def test_a_class_called_train_is_a_class(tmp_path, cache):
    photos(tmp_path / "train", ["0.jpg", "1.jpg"]), photos(tmp_path / "bus", ["0.jpg", "1.jpg"])
    assert datasets.describe(images(tmp_path), cache).classes == ("bus", "train")


def test_the_fingerprint_is_of_content_not_of_place_or_time(kaggle, tmp_path, cache):
    first = datasets.describe(images(kaggle), cache).fingerprint
    os.utime(kaggle / "cat.0.jpg", (0, 0))
    assert datasets.describe(images(kaggle), cache).fingerprint == first
    moved = shutil.move(kaggle, tmp_path / "moved")
    assert datasets.describe(images(moved), tmp_path / "other").fingerprint == first
    shutil.move(moved / "cat.0.jpg", moved / "dog.99.jpg")
    assert datasets.describe(images(moved), cache).fingerprint != first


def test_other_content_of_the_same_size_and_time_is_noticed(kaggle, cache):
    file = kaggle / "cat.3.jpg"
    before, stat = datasets.describe(images(kaggle), cache), file.stat()
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    time.sleep(0.02)  # the clock of a file system may tick only every few milliseconds
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert datasets.describe(images(kaggle), cache).fingerprint != before.fingerprint


def test_known_hashes_are_used_and_damaged_ones_are_not(kaggle, cache):
    truth = datasets.describe(images(kaggle), cache).fingerprint
    (memory,) = cache.glob("hashes-*")
    good = memory.read_bytes()
    digest = image_folder.survey(str(kaggle), cache).digests([0])[0].encode()
    write_sealed(memory, read_sealed(memory).replace(digest, b"0" * 64))
    assert datasets.describe(images(kaggle), cache).fingerprint != truth
    memory.write_bytes(good.replace(digest, b"0" * 64))
    assert datasets.describe(images(kaggle), cache).fingerprint == truth
    memory.write_bytes(good[: len(good) // 2])
    assert datasets.describe(images(kaggle), cache).fingerprint == truth


def test_only_the_images_used_are_hashed_and_decoded(kaggle, cache):
    for number in range(100):
        (kaggle / f"cat.broken{number}.jpg").write_text("not an image")
    small = datasets.check("data", {"name": "images", "path": str(kaggle), "image_size": 8, "limit": 4})
    catalogue = image_folder.survey(str(kaggle), cache)
    seed = next(
        seed
        for seed in range(1000)
        if not any("broken" in catalogue.names[i] for i in subset(catalogue.names, catalogue.labels, 4, seed))
    )
    loaded = datasets.load(datasets.Data(**{**vars(small), "split_seed": seed}), cache)
    assert loaded.images.shape[0] == 4
    (memory,) = cache.glob("hashes-*")
    assert read_sealed(memory).count(b".jpg") == 4


def test_progress_counts_up_and_a_second_load_decodes_nothing(kaggle, cache):
    photos(kaggle, [f"dog.{number}.jpg" for number in range(100, 230)])
    calls = []
    first = datasets.load(images(kaggle), cache, lambda done, total: calls.append((done, total)))
    assert calls == [(64, 146), (128, 146), (146, 146)]
    again = datasets.load(images(kaggle), cache, lambda done, total: calls.append((done, total)), threads=1)
    assert len(calls) == 3
    assert (again.images == first.images).all()


def strange(kind: str, path: Path) -> None:
    """Put something under a photo's name that is no photo."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            os.chdir(path.parent)
            listening.bind(path.name)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "dangling":
        path.symlink_to("nowhere.jpg")
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        assert kind == "folder"
        path.mkdir()


STRANGE = {
    "pipe": "it is a named pipe, expected a file",
    "socket": "it is a socket, expected a file",
    "endless": "it is a device, expected a file",
    "dangling": "No such file or directory",
    "loop": "Too many levels of symbolic links",
    "folder": None,
}
CLASSES = ["cat/0.jpg", "cat/1.jpg", "dog/0.jpg", "dog/1.jpg"]


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("names", [KAGGLE, CLASSES], ids=["by name", "by folder"])
def test_what_is_no_file_is_named_at_once(names, kind, tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "photos", names)
    path = root / names[0].replace("0.jpg", "x.jpg")
    strange(kind, path)
    for use in (datasets.describe, datasets.load):
        before = time.monotonic()
        if STRANGE[kind] is None:  # a folder without photos is none of the images
            use(images(root), cache)
        else:
            with pytest.raises(InputError, match=f"cannot read {path}: {STRANGE[kind]}; mend or remove"):
                use(images(root), cache)
        assert time.monotonic() - before < 30


@pytest.mark.parametrize("kind", [k for k, message in STRANGE.items() if message])
def test_what_is_no_file_any_more_is_named_at_once(kind, kaggle, cache, monkeypatch):
    monkeypatch.chdir(kaggle)
    data = images(kaggle)
    chosen = image_folder.survey(data.path, cache)
    (digest,) = chosen.digests([0])
    (kaggle / chosen.names[0]).unlink()
    strange(kind, kaggle / chosen.names[0])
    with pytest.raises(OSError, match=rf"{STRANGE[kind]}|No such device"):
        chosen.image(0, digest, 8)


def test_a_path_that_cannot_be_looked_at_is_a_sentence(cache):
    for path, reason in (("x" * 300, "File name too long"), ("~nobody-of-that-name/x", "there is no such user")):
        with pytest.raises(InputError, match=f"data.path: .*{path}.*{reason}"):
            datasets.describe(images(path), cache)


def test_threads_do_not_change_the_file(kaggle, tmp_path):
    one = datasets.load(images(kaggle), tmp_path / "one", threads=1).images
    four = datasets.load(images(kaggle), tmp_path / "four", threads=4).images
    assert Path(one.filename).read_bytes() == Path(four.filename).read_bytes()


def cut(part):
    return lambda file: os.truncate(file, int(file.stat().st_size * part))


def flip(part):
    def change(file):
        content = bytearray(file.read_bytes())
        content[int(len(content) * part)] ^= 4
        file.write_bytes(content)

    return change


@pytest.mark.parametrize("suffix", [".npy", ".npy.sha256"])
@pytest.mark.parametrize(
    "damage", [cut(0), cut(0.1), cut(0.5), cut(0.999), flip(0), flip(0.5), flip(0.999), os.remove]
)
def test_a_damaged_file_is_decoded_again(kaggle, cache, suffix, damage):
    truth = np.array(datasets.load(images(kaggle), cache).images)
    before = decoded_files(cache)
    damage(cache / next(name for name in before if name.endswith(suffix)))
    calls = []
    again = datasets.load(images(kaggle), cache, lambda *call: calls.append(call))
    assert calls == [(16, 16)]
    assert (again.images == truth).all()
    assert decoded_files(cache) == before


def test_of_many_that_ask_at_once_one_decodes(kaggle, cache):
    def ask(_):
        calls = []
        loaded = datasets.load(images(kaggle), cache, lambda *call: (calls.append(call), time.sleep(0.1)))
        return len(calls), loaded.images.sum()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert sorted(calls for calls, _ in answers) == [0, 0, 0, 1]
    assert len({total for _, total in answers}) == 1


def test_all_broken_images_are_counted_and_some_are_named(kaggle, cache):
    for number in range(3):
        os.truncate(kaggle / f"cat.{number}.jpg", 500)
    (kaggle / "dog.0.jpg").write_bytes(b"")
    (kaggle / "dog.1.jpg").write_text("<html>")
    assert datasets.describe(images(kaggle), cache).train == 12
    with pytest.raises(
        InputError, match=r"data\.path: 5 of 16 images cannot be decoded: .*photos/cat\.0\.jpg \(.*and 2 more"
    ):
        datasets.load(images(kaggle), cache)
    assert decoded_files(cache) == []


def test_a_file_changed_after_it_was_hashed_is_refused(kaggle, cache):
    with pytest.raises(ValueError, match="changed while"):
        image_folder.survey(str(kaggle), cache).image(0, "0" * 64, 8)


@pytest.fixture
def small_files_only():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_files_only")
def test_a_full_disk_while_writing_leaves_nothing(kaggle, cache):
    with pytest.raises(InputError, match=r"needs 0\.5 MB in .*cache, where .* MB are free"):
        datasets.load(images(kaggle, image_size=100), cache)
    assert decoded_files(cache) == []
    assert datasets.load(images(kaggle), cache).images.shape == (16, 8, 8, 3)


def test_a_disk_too_small_is_found_before_decoding(kaggle, cache):
    with pytest.raises(InputError, match=r"16 images to 1000000 x 1000000 pixels needs 48,000,000\.0 MB"):
        datasets.load(replace(images(kaggle), image_size=10**6), cache, lambda *_: pytest.fail("decoded"))
    assert decoded_files(cache) == []


def test_a_cache_that_cannot_be_written_hinders_only_load(kaggle, cache):
    cache.write_text("a file")
    assert datasets.describe(images(kaggle), cache).train == 12
    with pytest.raises(InputError, match=r"cannot keep decoded images in .*cache"):
        datasets.load(images(kaggle), cache)


def test_an_interrupt_leaves_nothing_and_a_kill_nothing_that_hurts(kaggle, cache):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.load(images(kaggle), cache, interrupt)
    assert decoded_files(cache) == []
    program = f"""
import os, pathlib
from experiments import datasets
data = datasets.check("data", {{"name": "images", "path": {str(kaggle)!r}, "image_size": 8}})
datasets.load(data, pathlib.Path({str(cache)!r}), lambda done, total: os.kill(os.getpid(), 9))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert any(name.endswith(".tmp") for name in decoded_files(cache))
    assert datasets.load(images(kaggle), cache).images.any()
    assert not any(name.endswith(".tmp") for name in decoded_files(cache))
