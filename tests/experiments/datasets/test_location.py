"""Data sets in a bucket: what is fetched, how often, and what is said where that cannot be done."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import datasets
from experiments.datasets import image_folder, location
from experiments.object_store import RetryLimits
from experiments.settings import InputError
from tests.support import buckets
from tests.support.command import command
from tests.support.sweeps import photos, written

NAMES = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(8)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where a node keeps its data."""
    return tmp_path / "cache"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """Photos of two classes in a folder."""
    return photos(tmp_path / "photos", NAMES)


@pytest.fixture
def address(s3: str, local: Path) -> str:
    """The same photos in a bucket."""
    return buckets.upload(s3, local)


def images(path: object, **settings: object) -> datasets.Data:
    return datasets.check("data", {"name": "images", "path": str(path), "image_size": 8, **settings})


def fetched(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("fetched/**/*.png") if not path.name.startswith("."))


def test_a_bucket_gives_what_the_folder_gives(local: Path, address: str, cache: Path, tmp_path: Path) -> None:
    here, there = datasets.load(images(local), tmp_path / "other"), datasets.load(images(address), cache)
    assert there.description == here.description  # and so the trials' keys are the same
    assert (there.images == here.images).all()
    assert [path.name for path in fetched(cache)] == [Path(name).name for name in NAMES]


def test_only_what_is_used_is_fetched_and_only_once(address: str, cache: Path) -> None:
    calls: list[tuple[int, int]] = []
    datasets.describe(images(address, limit=6), cache, lambda *call: calls.append(call))
    assert len(fetched(cache)) == 6
    assert calls == [(done, 6) for done in range(1, 7)]
    datasets.describe(images(address), cache, lambda *call: calls.append(call))
    assert len(fetched(cache)) == 16
    assert calls[6:] == [(done, 10) for done in range(1, 11)]
    datasets.load(images(address, image_size=4), cache, None)
    datasets.describe(images(address), cache, lambda *call: pytest.fail("fetched again"))


def test_another_object_and_a_damaged_copy_are_fetched_again(
    s3: str, local: Path, address: str, cache: Path
) -> None:
    before = datasets.describe(images(address), cache)
    prefix = buckets.prefix_of(address)
    shutil.copy(local / "dog/7.png", local / "cat/0.png")
    with (local / "cat/0.png").open("ab") as file:
        file.write(b" ")
    buckets.upload(s3, local, prefix)
    after = datasets.describe(images(address), cache)
    assert after.fingerprint != before.fingerprint
    assert after == datasets.describe(images(local), cache)
    time.sleep(1.1)  # S3 tells the time to a second
    content = bytearray((local / "cat/0.png").read_bytes())
    content[-1] ^= 1
    (local / "cat/0.png").write_bytes(content)
    buckets.upload(s3, local, prefix)
    before, after = after, datasets.describe(images(address), cache)
    assert after.fingerprint != before.fingerprint
    for damage in (lambda path: path.write_bytes(b""), Path.unlink):
        damage(fetched(cache)[3])
        assert datasets.load(images(address), cache).description == after


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ([], r"^data\.path: nothing lies at s3://kept/\w+; correct it, or put images there$"),
        (["a.txt"], r"^data\.path: no images in s3://kept/\w+; expected files ending in"),
        (["cat.0.png", "cat.1.png"], r"s3://kept/\w+ holds one class only \(cat\)"),
        (
            [f"{part}/{name}" for part in ("test", "train") for name in NAMES],
            r"holds folders in folders \(test/cat\).*did you mean data\.path=s3://kept/\w+/train\?$",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_named(
    make: Sequence[str], message: str, s3: str, tmp_path: Path, cache: Path
) -> None:
    made = photos(tmp_path / "made", [name for name in make if name.endswith("png")])
    made.mkdir(exist_ok=True)
    for name in make:
        (made / name).touch()
    with pytest.raises(InputError, match=message):
        datasets.describe(images(buckets.upload(s3, made)), cache)
    assert not cache.exists()


def test_what_macos_leaves_and_what_is_hidden_is_no_image(s3: str, local: Path, cache: Path) -> None:
    photos(local, ["__MACOSX/cat/0.png", ".hidden/0.png", "cat/._0.png"])
    assert datasets.describe(images(buckets.upload(s3, local)), cache).train == 12


def test_an_empty_object_with_a_folders_name_is_that_folder(s3: str, local: Path, cache: Path) -> None:
    """Amazon's console makes one for every new folder, and an empty folder is a class like any other."""
    address = buckets.upload(s3, local)
    prefix, client = buckets.prefix_of(address), buckets.client(s3)
    for name in ("", "cat/", "fox/"):
        client.put_object(Bucket="kept", Key=f"{prefix}/{name}", Body=b"")
    (local / "fox").mkdir()
    bucket = location.locate(address, cache)
    assert bucket.entries() == location.locate(str(local), cache).entries() == ([], ["cat", "dog", "fox"])
    assert (bucket / "cat").entries() == location.locate(str(local / "cat"), cache).entries()
    assert (bucket / "fox").entries() == ([], [])


def test_a_name_that_no_file_could_have_is_named(s3: str, address: str, cache: Path) -> None:
    key = f"{buckets.prefix_of(address)}/cat//9.png"
    buckets.client(s3).put_object(Bucket="kept", Key=key, Body=b"")
    with pytest.raises(
        datasets.Unreached, match=r"cannot be listed \(.*cat//9\.png.*\); rename or delete that object"
    ):
        datasets.describe(images(address), cache)


def test_a_broken_photo_is_named_by_its_address(s3: str, local: Path, cache: Path) -> None:
    (local / "cat/3.png").write_text("not an image")
    with pytest.raises(InputError, match=r"1 of 16 images .*: s3://kept/\w+/cat/3\.png \(no JPEG"):
        datasets.load(images(buckets.upload(s3, local)), cache)


def test_an_object_that_goes_or_changes_while_it_is_fetched(s3: str, local: Path, cache: Path) -> None:
    address = buckets.upload(s3, local)
    catalogue = image_folder.survey(address, cache)
    (local / "cat/3.png").write_text("other")
    buckets.upload(s3, local, buckets.prefix_of(address))
    with pytest.raises(datasets.Unreached, match=r"s3://kept/\w+/cat/3\.png changed while it was fetched; run"):
        catalogue.digests(range(16))


def test_fetching_that_was_cut_off_goes_on_where_it_was(s3: str, address: str, local: Path, cache: Path) -> None:
    left = SimpleNamespace(photos=5)

    def sent(piece: bytes) -> None:
        left.photos -= piece.startswith(b"GET ") and b".png" in piece.partition(b"\n")[0]
        if left.photos < 0:
            raise OSError("cut")

    with buckets.Cable(s3, sent) as cable:
        through = buckets.through(cable.endpoint, address)
        bucket = location.locate(through, cache)
        assert isinstance(bucket, location.Bucket)
        with pytest.raises(datasets.Unreached, match=r"^data\.path: s3://.*: cannot be read .*; nothing answers"):
            replace(bucket, threads=1, limits=RetryLimits(retries=0)).fetch(NAMES)
        assert len(fetched(cache)) == 5
        cable.mend()
        left.photos = 16
        calls: list[tuple[int, int]] = []
        description = datasets.describe(images(through), cache, lambda *call: calls.append(call))
        assert description == datasets.describe(images(local), cache)
    assert calls == [(done, 11) for done in range(1, 12)]


def test_a_disk_too_small_is_found_before_anything_is_fetched(
    address: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"fetching 16 files of s3://kept/\w+ needs 0\.0 MB .* SWEEP_CACHE"):
        datasets.describe(images(address), cache)
    assert fetched(cache) == []


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_on_a_bucket_takes_what_one_on_the_folder_has_trained(
    address: str, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def on(path: object) -> Path:
        return written(tmp_path, data={"name": "images", "path": str(path), "image_size": 32})

    code, out, err = command("run", on(address), "--results", tmp_path / "r", capture=capsys)
    assert code == 0, err
    assert "fetching images 16/16" in err
    out = command("plan", on(local), "--results", tmp_path / "r", capture=capsys)[1]
    assert "32 = 32 known + 0 shared + 0 new" in out
    code, out, err = command("plan", on("s3://absent/x?" + address.partition("?")[2]), capture=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: data.path: s3://absent/x: cannot be listed")
    assert "there is no such bucket: create it or correct the address" in err
