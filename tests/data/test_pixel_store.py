import errno
import io
import json
import os
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.data import pixel_store
from skin_lesions.data.decoding import DecodedImage, decode
from skin_lesions.data.image_files import UnreadableImageError
from skin_lesions.data.pixel_store import DecodeRequest, PixelArray, PixelStore, open_for_append
from skin_lesions.data.provenance import Origin
from skin_lesions.data.raw_store import ObjectStore, RawImages
from support.factories import jpeg

SIZE = 4
IDS = [f"image {i}" for i in range(12)]


def square(image_id):
    """Return distinct pixels for each id; every fifth image is unreadable."""
    number = int(image_id.split()[1])
    if number % 5 == 4:
        return UnreadableImageError(f"reason {number}")
    return DecodedImage(np.full((SIZE, SIZE, 3), number, np.uint8), 10 + number, 20, "JPEG")


def append(images, ids, decoded):
    with open_for_append(images) as writer:
        for image_id, image in zip(ids, decoded, strict=True):
            if isinstance(image, DecodedImage):
                writer.add(image_id, image)
            else:
                writer.add_unreadable(image_id, str(image))


def filled_store(folder, ids=IDS):
    append(PixelArray(folder, SIZE), ids, map(square, ids))
    return PixelArray(folder, SIZE)


def assert_contents(images, ids=IDS):
    """Check that the store contains exactly ``ids``, with the right pixels and reasons."""
    assert sorted(images.index.index) == sorted(ids)
    for image_id in ids:
        expected = square(image_id)
        if isinstance(expected, DecodedImage):
            np.testing.assert_array_equal(images[image_id], expected.pixels)
            assert images.index.loc[image_id, "width"] == expected.width
        else:
            assert images.index.loc[image_id, "reason"] == str(expected)
            with pytest.raises(InputError, match="not decoded"):
                images[image_id]


def resume(folder):
    """Append the images that are missing in the store, as the next run does; return their ids."""
    images = PixelArray(folder, SIZE)
    stored = set(images.index.index)
    assert_contents(images, [i for i in IDS if i in stored])
    missing = [i for i in IDS if i not in stored]
    append(images, missing, map(square, missing))
    assert_contents(PixelArray(folder, SIZE))
    return missing


def test_appended_images_are_read_in_any_order(tmp_path):
    filled_store(tmp_path, IDS[:5])
    append(PixelArray(tmp_path, SIZE), IDS[5:], map(square, IDS[5:]))
    images = PixelArray(tmp_path, SIZE)
    assert_contents(images)
    chosen = [IDS[8], IDS[0], IDS[8]]
    np.testing.assert_array_equal(images.array[images.rows(chosen)][:, 0, 0, 0], [8, 0, 8])


def test_error_for_missing_images_contains_their_number_and_the_fix(tmp_path):
    with pytest.raises(InputError, match=r"2 of 3 images .* ingest.stored_image_size=4"):
        filled_store(tmp_path).rows([IDS[0], "unknown", IDS[4]])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    index_fraction=st.floats(0, 1),
    pixel_fraction=st.floats(0, 1),
    junk=st.binary(max_size=SIZE**2 * 7),
)
def test_a_run_killed_at_any_byte_is_resumed(tmp_path, index_fraction, pixel_fraction, junk):
    folder = tmp_path / "px"
    index, images = folder / "index.jsonl", folder / "images.bin"
    for path in (index, images):
        path.unlink(missing_ok=True)
    filled_store(folder)
    complete = images.read_bytes()
    index.write_bytes(index.read_bytes()[: int(index_fraction * index.stat().st_size)])
    images.write_bytes(
        complete[: int(pixel_fraction * len(complete))] if junk == b"" else complete + junk
    )
    resume(folder)


def test_an_index_truncated_at_any_byte_is_resumed(tmp_path):
    filled_store(tmp_path)
    index = tmp_path / "index.jsonl"
    complete = index.read_bytes()
    for length in range(0, len(complete), 7):
        index.write_bytes(complete[:length])
        lines = complete[:length].count(b"\n")
        assert len(resume(tmp_path)) == len(IDS) - lines


def test_pixels_shorter_than_the_index_are_decoded_again(tmp_path):
    filled_store(tmp_path)
    os.truncate(tmp_path / "images.bin", 5 * SIZE**2 * 3 - 1)
    assert resume(tmp_path)[0] == IDS[5]  # the fifth readable one


def test_only_images_from_a_damaged_index_line_on_are_decoded_again(tmp_path):
    filled_store(tmp_path)
    index = tmp_path / "index.jsonl"
    lines = index.read_bytes().split(b"\n")
    lines[7] = b"\0" * len(lines[7])
    index.write_bytes(b"\n".join(lines))
    assert resume(tmp_path) == IDS[7:]


def test_the_index_lists_only_complete_images_while_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_store, "_FLUSH_EVERY", 3)

    def checked_images():
        for image_id in IDS:
            stored = PixelArray(tmp_path, SIZE).index.index.tolist()
            assert_contents(PixelArray(tmp_path, SIZE), stored)
            yield square(image_id)

    images = PixelArray(tmp_path, SIZE)
    append(images, IDS, checked_images())
    assert_contents(images)


def test_an_interruption_while_decoding_keeps_the_committed_images(tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_store, "_FLUSH_EVERY", 3)

    def interrupted_images():
        yield from map(square, IDS[:8])
        raise KeyboardInterrupt

    images = PixelArray(tmp_path, SIZE)
    with pytest.raises(KeyboardInterrupt):
        append(images, IDS, interrupted_images())
    assert set(resume(tmp_path)) <= set(IDS[6:])


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no permission to mount a small disk")
    yield disk
    subprocess.run(
        ["umount", "-l", disk], check=True
    )  # lazy: a failed test may still have a file open


def test_a_full_disk_leaves_a_store_that_the_next_run_continues_from(small_disk, monkeypatch):
    monkeypatch.setattr(pixel_store, "_FLUSH_EVERY", 2)
    image = DecodedImage(np.full((32, 32, 3), 7, np.uint8), 1, 1, "JPEG")
    ballast = small_disk / "ballast"

    def resume():
        images = PixelArray(small_disk / "px", 32)
        assert all((images[stored] == 7).all() for stored in images.index.index)
        missing = [i for i in IDS if i not in set(images.index.index)]
        append(images, missing, [image] * len(missing))

    for pages in (1, 2, 5):  # a different write is the first that fails each time
        ballast.write_bytes(b"x" * (65536 - pages * 4096))
        with pytest.raises(OSError, match="No space left"):
            resume()
        ballast.unlink()
    resume()
    assert (PixelArray(small_disk / "px", 32).array == 7).all()
    assert sorted(PixelArray(small_disk / "px", 32).index.index) == sorted(IDS)


@pytest.mark.timeout(60)  # takes less than 1 s
def test_thirty_thousand_entries_open_without_reading_the_images(tmp_path):
    line = '{{"image_id": "{:064x}", "row": {}, "width": 600, "height": 450, "format": "JPEG"}}\n'
    (tmp_path / "index.jsonl").write_text("".join(line.format(i, i) for i in range(30_000)))
    (tmp_path / "images.bin").touch()
    os.truncate(tmp_path / "images.bin", 30_000 * SIZE**2 * 3)
    images = PixelArray(tmp_path, SIZE)
    assert images.array.shape == (30_000, SIZE, SIZE, 3)


@pytest.fixture
def raw(tmp_path):
    store = ObjectStore(tmp_path / "objects")
    data = [jpeg(seed) for seed in range(6)] + [b"not an image"]
    ids = [store.put(d)[0] for d in data]
    table = pd.DataFrame({"file": [f"{i}.jpg" for i in range(len(ids))], "image_id": ids})
    return RawImages(table, store, Origin(kind="demo", seed=0))


def test_only_images_missing_in_the_store_are_decoded(raw, tmp_path, monkeypatch):
    store = PixelStore(tmp_path / "px")
    first_three = RawImages(raw.table[:3], raw.store, raw.origin)
    store.add(DecodeRequest(first_three, 16))
    decoded = []
    monkeypatch.setattr(
        "skin_lesions.data.decoding.decode", lambda d, size: decoded.append(d) or decode(d, size)
    )
    for expected in (4, 4):
        store.add(DecodeRequest(raw, 16))
        assert len(decoded) == expected
    store.add(DecodeRequest(raw, 32))
    assert len(decoded) == 4 + 7
    assert json.loads(store.summary()) == {"images": {"16px-v2": 7, "32px-v2": 7}}
    for image_id in raw.image_ids[:6]:
        expected = decode(raw.store.get(image_id), 16).pixels
        np.testing.assert_array_equal(store.at(16)[image_id], expected)
    assert "known format" in store.at(16).index.loc[raw.image_ids[6], "reason"]


def test_raw_files_of_stored_images_are_not_read(raw, tmp_path):
    store = PixelStore(tmp_path / "px")
    store.add(DecodeRequest(raw, 16))
    for image_id in raw.image_ids:
        raw.store.path(image_id).unlink()
    store.add(DecodeRequest(raw, 16))
    with pytest.raises(InputError, match="is missing"):
        store.add(DecodeRequest(raw, 32))


def test_a_missing_raw_image_is_an_error_and_not_recorded_as_unreadable(raw, tmp_path):
    path = raw.store.path(raw.image_ids[2])
    path.unlink()
    store = PixelStore(tmp_path / "px")
    with pytest.raises(InputError, match=f"{path} is missing"):
        store.add(DecodeRequest(raw, 16))
    assert raw.image_ids[2] not in store.at(16).index.index


def test_no_file_stays_open(raw, tmp_path):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list open files")
    store = PixelStore(tmp_path / "px")
    before = open_files()
    for size in (16, 20, 24):
        store.add(DecodeRequest(raw, size))
        assert store.at(size)[raw.image_ids[0]].shape == (size, size, 3)
    assert open_files() == before


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    def peak(n):
        image = DecodedImage(np.zeros((64, 64, 3), np.uint8), 1, 1, "JPEG")
        images = PixelArray(tmp_path / str(n), 64)
        ids = [str(i) for i in range(n)]
        tracemalloc.start()
        append(images, ids, (DecodedImage(image.pixels.copy(), 1, 1, "JPEG") for _ in ids))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(1600) < peak(200) + 100_000  # of 20 MB of pixels


def damage(folder, row, size=SIZE):
    """Overwrite a stored image with noise."""
    with (folder / "images.bin").open("r+b") as file:
        file.seek(row * size**2 * 3)
        file.write(np.random.default_rng(row).bytes(size**2 * 3))


def test_images_whose_pixels_have_changed_are_an_error_with_their_ids_and_the_fix(tmp_path):
    images = filled_store(tmp_path)
    rows = images.rows([IDS[1], IDS[3]])
    for row in rows:
        damage(tmp_path, row)
    with pytest.raises(InputError, match=r"2 of 12 stored images are damaged.*ingest") as error:
        images.read(images.rows([IDS[0], IDS[3]]))
    assert IDS[1] in str(error.value)
    assert IDS[3] in str(error.value)
    np.testing.assert_array_equal(images[IDS[2]], square(IDS[2]).pixels)
    assert images.damaged_ids() == [IDS[1], IDS[3]]


def test_one_changed_bit_is_found_in_every_way_to_read(tmp_path):
    images = filled_store(tmp_path)
    content = bytearray((tmp_path / "images.bin").read_bytes())
    content[SIZE**2 * 3 + 5] ^= 1
    (tmp_path / "images.bin").write_bytes(content)
    for read in (
        lambda images: images[IDS[1]],
        lambda images: images.subset([IDS[0], IDS[1]])[1],
        lambda images: images.read(np.array([0, 1])),
        lambda images: images.read(np.array([1, 1])),
    ):
        with pytest.raises(InputError, match="1 of 12 stored images are damaged"):
            read(PixelArray(tmp_path, SIZE))
    images = PixelArray(tmp_path, SIZE)
    np.testing.assert_array_equal(images.read(np.array([0, 2]))[:, 0, 0, 0], [0, 2])


def test_each_checksum_is_computed_once(tmp_path, monkeypatch):
    images = filled_store(tmp_path)
    sizes = []
    monkeypatch.setattr(pixel_store, "crc32", lambda pixels: sizes.append(pixels.size) or 0)
    monkeypatch.setattr(PixelArray, "_checksums", np.zeros(99, np.int64))
    for _ in range(3):
        images.read(np.array([3, 1]))
    assert sizes == [SIZE**2 * 3] * 2


def test_damaged_images_are_decoded_again_from_the_raw_images(raw, tmp_path, caplog):
    store = PixelStore(tmp_path / "px")
    store.add(DecodeRequest(raw, 16))
    damaged = raw.image_ids[4]
    damage(store.at(16).folder, store.at(16).rows([damaged])[0], 16)
    first_three = RawImages(raw.table[:3], raw.store, raw.origin)  # of a later version
    store.add(DecodeRequest(first_three, 16))
    assert (
        f"1 of 7 stored images at 16 pixels are damaged and are decoded again, e.g. {damaged}"
        in (caplog.text)
    )
    images = store.at(16)
    assert images.damaged_ids() == []
    for image_id in raw.image_ids[:6]:
        np.testing.assert_array_equal(images[image_id], decode(raw.store.get(image_id), 16).pixels)
    assert json.loads(store.summary()) == {"images": {"16px-v2": 7}}


def test_a_damaged_image_without_its_raw_file_does_not_stop_later_versions(raw, tmp_path):
    store = PixelStore(tmp_path / "px")
    store.add(DecodeRequest(raw, 16))
    damaged = raw.image_ids[4]
    damage(store.at(16).folder, store.at(16).rows([damaged])[0], 16)
    raw.store.path(damaged).unlink()
    store.add(DecodeRequest(RawImages(raw.table[:3], raw.store, raw.origin), 16))
    assert store.at(16).damaged_ids() == [damaged]
    with pytest.raises(InputError, match="is missing"):
        store.add(DecodeRequest(raw, 16))


def test_stores_of_the_decoder_without_checksums_are_not_read(raw, tmp_path):
    store = PixelStore(tmp_path / "px")
    append(PixelArray(tmp_path / "px/16px-v1", 16), [], [])
    (tmp_path / "px/16px-v1/index.jsonl").write_text(
        f'{{"image_id": "{raw.image_ids[0]}", "row": 0, "width": 1, "height": 1}}\n'
    )
    (tmp_path / "px/16px-v1/images.bin").write_bytes(bytes(16**2 * 3))
    with pytest.raises(InputError, match="not decoded at 16 pixels.*--pipelines ingest"):
        store.at(16).rows(raw.image_ids[:1])
    store.add(DecodeRequest(raw, 16))
    assert store.at(16)[raw.image_ids[0]].any()


def test_pixels_are_written_to_the_file_before_their_index_lines(tmp_path):
    """Otherwise a kill between the two writes would leave index lines without pixels."""
    index_path, pixels_path = tmp_path / "index", tmp_path / "pixels"

    class CheckedIndex(io.BufferedRandom):
        def write(self, lines):
            rows = [json.loads(line)["row"] for line in lines.splitlines()]
            assert pixels_path.read_bytes()[: SIZE**2 * 3 * (max(rows) + 1)] == b"".join(
                square(image_id).pixels.tobytes() for image_id in IDS[: max(rows) + 1]
            )
            checked.extend(rows)
            return super().write(lines)

    checked = []
    index_path.touch()
    with pixels_path.open("w+b") as pixels, CheckedIndex(io.FileIO(index_path, "r+")) as index:
        writer = pixel_store.PixelWriter(SIZE, set(), 0, pixels, index)
        for image_id in IDS[:4]:
            writer.add(image_id, square(image_id))
        writer.commit()
    assert checked == [0, 1, 2, 3]


def test_an_incomplete_write_does_not_move_the_images_that_follow(tmp_path):
    class DiskFullOnce(io.BytesIO):
        """A file of which the first write stops after half of the data."""

        failed = False

        def write(self, data):
            if self.failed:
                return super().write(data)
            self.failed = True
            super().write(bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    pixels, index = DiskFullOnce(), io.BytesIO()
    writer = pixel_store.PixelWriter(SIZE, set(), 0, pixels, index)
    with pytest.raises(OSError, match="No space left"):
        writer.add(IDS[0], square(IDS[0]))
    writer.add(IDS[1], square(IDS[1]))
    assert pixels.getvalue() == square(IDS[1]).pixels.tobytes()


@pytest.mark.parametrize(
    "line",
    [b"1", b"[]", b"{}", b'{"row": 1}', b'{"image_id": "b", "row": "1"}', b"\xff"],
)
def test_damaged_index_line_and_later_lines_are_ignored(tmp_path, line):
    """The missing images are then reported with the pipeline that decodes them."""
    folder = PixelStore(tmp_path).at(2).folder
    folder.mkdir()
    (folder / "images.bin").write_bytes(bytes(2 * 2 * 2 * 3))
    entries = [
        b'{"image_id": "a", "row": 0, "crc32": 0}',
        line,
        b'{"image_id": "b", "row": 1, "crc32": 0}',
    ]
    (folder / "index.jsonl").write_bytes(b"\n".join(entries) + b"\n")
    assert list(PixelStore(tmp_path).at(2).index.index) == ["a"]


def test_unreadable_index_is_reported_with_the_fix(tmp_path, monkeypatch):
    """Simulated, because root can read all files."""
    folder = PixelStore(tmp_path).at(2).folder
    folder.mkdir()
    (folder / "index.jsonl").touch()

    def reject(_: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", reject)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)\. Fix: "):
        _ = PixelStore(tmp_path).at(2).index
