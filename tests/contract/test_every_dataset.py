"""What holds for every row of the table of data sets."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import datasets
from experiments.datasets.cifar10 import FILES, RECORD
from experiments.settings import InputError
from tests.support import buckets


def _photos(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        noise = rng.integers(0, 256, (9, 11, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{('cat', 'dog', 'owl')[number % 3]}.{number}.png")
    return str(folder)


def _cifar(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for file in FILES:
        records = rng.integers(0, 256, (40, RECORD), np.uint8)
        records[:, 0] = np.arange(40) % 10
        (folder / file).write_bytes(records.tobytes())
    return str(folder)


PLACES = {"digits": lambda folder: None, "images": _photos, "cifar10": _cifar}


def test_every_row_has_a_place_to_be_tried():
    assert set(PLACES) == set(datasets.SOURCES)


@pytest.fixture(params=[*PLACES, "images in a bucket", "cifar10 in a bucket"])
def source(request, tmp_path):
    """Settings of a small data set of each kind, where it lies in a folder and where in a bucket."""
    name, _, in_bucket = request.param.partition(" ")
    path = PLACES[name](tmp_path / "data")
    if in_bucket:
        path = buckets.upload(request.getfixturevalue("s3"), path)
    settings = {"name": name, "path": path, "image_size": 8}
    return {name: value for name, value in settings.items() if value is not None}


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def data_of(source, **settings):
    return datasets.check("data", {**source, **settings})


@pytest.mark.parametrize("test", [0, 0.2])
def test_description_and_data_agree(source, cache, test):
    description = datasets.describe(data_of(source, test=test), cache)
    loaded = datasets.load(data_of(source, test=test), cache)
    assert loaded.description == description
    count = description.train + description.validation + description.test
    assert loaded.images.shape == (count, *description.shape)
    assert loaded.images.dtype == np.uint8
    assert isinstance(loaded.images, np.memmap)
    assert not loaded.images.flags.writeable
    assert loaded.labels.shape == (count,)
    parts = (loaded.train, loaded.validation, loaded.test)
    assert {part.dtype for part in (loaded.labels, *parts)} == {np.dtype(np.int64)}
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert (description.validation, description.test) == (round(0.25 * count), round(test * count))
    everyone = set(range(len(description.classes)))
    for part in parts if test else parts[:2]:
        assert set(loaded.labels[part].tolist()) == everyone
    counts = np.bincount(loaded.labels[loaded.validation])
    assert description.majority == counts.max() / counts.sum()


def test_a_test_set_takes_images_of_the_same_data(source, cache):
    without, with_test = (datasets.load(data_of(source, test=test), cache) for test in (0, 0.2))
    assert without.description.fingerprint == with_test.description.fingerprint
    assert (without.images == with_test.images).all()
    other = datasets.load(data_of(source, test=0.2, validation=0.4), cache)
    assert other.test.tolist() == with_test.test.tolist()


def test_the_same_from_another_cache_and_at_another_size(source, tmp_path, cache):
    first = datasets.load(data_of(source), cache)
    other = datasets.load(data_of(source), tmp_path / "other")
    assert other.description == first.description
    assert (other.images == first.images).all()
    larger = datasets.load(data_of(source, image_size=16), cache)
    assert larger.description.fingerprint == first.description.fingerprint
    assert larger.images.shape[1:3] == (16, 16)
    assert (datasets.load(data_of(source), cache).images == first.images).all()


def test_a_limit_takes_images_of_the_whole(source, cache):
    whole = datasets.load(data_of(source), cache)
    some = datasets.load(data_of(source, limit=45), cache)
    assert len(some.images) == 45
    assert some.description.fingerprint != whole.description.fingerprint
    pairs = {(image.tobytes(), int(label)) for image, label in zip(whole.images, whole.labels, strict=True)}
    assert {(i.tobytes(), int(label)) for i, label in zip(some.images, some.labels, strict=True)} <= pairs
    all_of_them = datasets.describe(data_of(source, limit=10**6), cache)
    assert all_of_them == whole.description


def test_another_split_seed_holds_out_others_of_the_same_images(source, cache):
    first, other = (datasets.load(data_of(source, split_seed=seed), cache) for seed in (0, 1))
    assert first.description == other.description
    assert set(first.validation.tolist()) != set(other.validation.tolist())


def test_a_limit_that_leaves_a_class_out_is_refused(source, cache):
    classes = len(datasets.describe(data_of(source), cache).classes)
    with pytest.raises(InputError, match=rf"data\.limit: expected at least {2 * classes} .*got {2 * classes - 1}"):
        datasets.describe(data_of(source, limit=2 * classes - 1), cache)
    assert datasets.describe(data_of(source, limit=2 * classes), cache).train == classes
    with pytest.raises(InputError, match=rf"expected at least {3 * classes} .*and one for the test, got"):
        datasets.describe(data_of(source, limit=3 * classes - 1, test=0.1), cache)
    divided = datasets.describe(data_of(source, limit=3 * classes, test=0.1), cache)
    assert (divided.train, divided.validation, divided.test) == (classes, classes, classes)


def test_default_size_suits_a_vgg(source):
    assert datasets.check("data", {**source, "image_size": None}).image_size >= 32


def test_a_warm_description_imports_nothing_heavy(source, cache):
    datasets.describe(data_of(source), cache)
    program = f"""
import pathlib, sys
from experiments import datasets
datasets.describe(datasets.check("data", {source!r}), pathlib.Path({str(cache)!r}))
heavy = ("sklearn", "scipy", "PIL.Image", "keras", "tensorflow", "ray")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_digits_are_scikit_learns(cache):
    from sklearn.datasets import load_digits

    loaded = datasets.load(datasets.check("data", {"name": "digits", "image_size": 8}), cache)
    assert (np.rint(loaded.images[..., 0] * (16 / 255)) == load_digits().images).all()
    assert (loaded.labels == load_digits().target).all()
    assert loaded.images.max() == 255


def test_cifar_records_become_images(tmp_path, cache):
    given = {"name": "cifar10", "path": _cifar(tmp_path / "data")}
    loaded = datasets.load(datasets.check("data", given), cache)
    last = np.fromfile(tmp_path / "data" / FILES[-1], np.uint8)[-RECORD:]
    assert loaded.labels[-1] == last[0]
    assert loaded.images[-1, 5, 7].tolist() == [last[1 + plane * 1024 + 5 * 32 + 7] for plane in range(3)]
    assert loaded.description.classes[3] == "cat"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), r"lacks data_batch_2\.bin .*Nothing is downloaded"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:-1]),
            r"data_batch_2\.bin is truncated.*got 122919",
        ),
        (
            lambda file: file.write_bytes(b"\x0b" + file.read_bytes()[1:]),
            r"record 0 has label 11, expected 0 to 9",
        ),
    ],
)
def test_a_cifar_folder_that_cannot_be_used(tmp_path, cache, damage, message):
    given = {"name": "cifar10", "path": _cifar(tmp_path / "data")}
    damage(tmp_path / "data" / FILES[1])
    with pytest.raises(InputError, match=message):
        datasets.describe(datasets.check("data", given), cache)


def test_the_folder_around_cifar_is_answered_with_the_one_inside(tmp_path, cache):
    _cifar(tmp_path / "cifar-10-batches-bin")
    with pytest.raises(InputError, match=r"did you mean data\.path=.*/cifar-10-batches-bin\?"):
        datasets.describe(datasets.check("data", {"name": "cifar10", "path": str(tmp_path)}), cache)
