import json
import os
import subprocess
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.data import pixel_store
from skin_lesions.data.decoding import DecodedImage, UnreadableImageError, decode
from skin_lesions.data.pixel_store import DecodeRequest, PixelArray, PixelStore
from skin_lesions.data.raw_store import ObjectStore, RawImages
from support.factories import jpeg

SIZE = 4
IDS = [f"image {i}" for i in range(12)]


def square(image_id):
    """Give each id pixels of its own, and every fifth none."""
    number = int(image_id.split()[1])
    if number % 5 == 4:
        return UnreadableImageError(f"reason {number}")
    return DecodedImage(np.full((SIZE, SIZE, 3), number, np.uint8), 10 + number, 20, "JPEG")


def append(images, ids, found):
    with images.open_for_append() as appender:
        for image_id, image in zip(ids, found, strict=True):
            appender.add(image_id, image)


def filled(folder, ids=IDS):
    images = PixelArray(folder, SIZE)
    append(images, ids, map(square, ids))
    return images


def assert_right(images, ids=IDS):
    """Check that all that is known is right, and that it is all of ``ids``."""
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


def go_on(folder):
    """Do what a next run does: append what the store does not know."""
    images = PixelArray(folder, SIZE)
    known = set(images.index.index)
    assert_right(images, [i for i in IDS if i in known])
    rest = [i for i in IDS if i not in known]
    append(images, rest, map(square, rest))
    assert_right(PixelArray(folder, SIZE))
    return rest


def test_what_is_appended_is_found_again_in_any_order(tmp_path):
    filled(tmp_path, IDS[:5])
    images = PixelArray(tmp_path, SIZE)
    append(images, IDS[5:], map(square, IDS[5:]))
    assert_right(images)
    assert_right(PixelArray(tmp_path, SIZE))
    chosen = [IDS[8], IDS[0], IDS[8]]
    np.testing.assert_array_equal(images.array[images.rows(chosen)][:, 0, 0, 0], [8, 0, 8])


def test_images_that_are_not_there_are_counted_and_the_remedy_named(tmp_path):
    with pytest.raises(InputError, match=r"2 of 3 images .* ingest.stored_image_size=4"):
        filled(tmp_path).rows([IDS[0], "unknown", IDS[4]])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    index_share=st.floats(0, 1), pixel_share=st.floats(0, 1), junk=st.binary(max_size=SIZE**2 * 7)
)
def test_a_run_killed_at_any_byte_is_taken_up_again(tmp_path, index_share, pixel_share, junk):
    folder = tmp_path / "px"
    index, images = folder / "index.jsonl", folder / "images.bin"
    for path in (index, images):
        path.unlink(missing_ok=True)
    filled(folder)
    whole = images.read_bytes()
    index.write_bytes(index.read_bytes()[: int(index_share * index.stat().st_size)])
    images.write_bytes(whole[: int(pixel_share * len(whole))] if junk == b"" else whole + junk)
    go_on(folder)


def test_any_byte_of_the_index_may_be_the_last(tmp_path):
    filled(tmp_path)
    index = tmp_path / "index.jsonl"
    whole = index.read_bytes()
    for length in range(0, len(whole), 7):
        index.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        assert len(go_on(tmp_path)) == len(IDS) - lines


def test_pixels_shorter_than_the_index_are_decoded_again(tmp_path):
    filled(tmp_path)
    os.truncate(tmp_path / "images.bin", 5 * SIZE**2 * 3 - 1)
    assert go_on(tmp_path)[0] == IDS[5]  # the fifth readable one


def test_a_damaged_line_of_the_index_costs_only_what_follows(tmp_path):
    filled(tmp_path)
    index = tmp_path / "index.jsonl"
    lines = index.read_bytes().split(b"\n")
    lines[7] = b"\0" * len(lines[7])
    index.write_bytes(b"\n".join(lines))
    assert go_on(tmp_path) == IDS[7:]


def test_the_index_never_names_what_is_not_whole_while_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_store, "_FLUSH_EVERY", 3)

    def watched():
        for image_id in IDS:
            known = PixelArray(tmp_path, SIZE).index.index.tolist()
            assert_right(PixelArray(tmp_path, SIZE), known)
            yield square(image_id)

    images = PixelArray(tmp_path, SIZE)
    append(images, IDS, watched())
    assert_right(images)


def test_an_error_while_decoding_keeps_what_was_done(tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_store, "_FLUSH_EVERY", 3)

    def interrupted():
        yield from map(square, IDS[:8])
        raise KeyboardInterrupt

    images = PixelArray(tmp_path, SIZE)
    with pytest.raises(KeyboardInterrupt):
        append(images, IDS, interrupted())
    assert set(go_on(tmp_path)) <= set(IDS[6:])


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount a small disk here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)  # even if a failed test holds a file


def test_a_full_disk_leaves_a_store_that_the_next_run_continues_from(small_disk, monkeypatch):
    monkeypatch.setattr(pixel_store, "_FLUSH_EVERY", 2)
    image = DecodedImage(np.full((32, 32, 3), 7, np.uint8), 1, 1, "JPEG")
    ballast = small_disk / "ballast"

    def go_on():
        images = PixelArray(small_disk / "px", 32)
        assert all((images[known] == 7).all() for known in images.index.index)
        rest = [i for i in IDS if i not in set(images.index.index)]
        append(images, rest, [image] * len(rest))

    for pages in (1, 2, 5):  # the first write that finds no room is another each time
        ballast.write_bytes(b"x" * (65536 - pages * 4096))
        with pytest.raises(OSError, match="No space left"):
            go_on()
        ballast.unlink()
    go_on()
    assert (PixelArray(small_disk / "px", 32).array == 7).all()
    assert sorted(PixelArray(small_disk / "px", 32).index.index) == sorted(IDS)


def test_thirty_thousand_entries_open_within_a_second(tmp_path):
    line = '{{"image_id": "{:064x}", "row": {}, "width": 600, "height": 450, "format": "JPEG"}}\n'
    (tmp_path / "index.jsonl").write_text("".join(line.format(i, i) for i in range(30_000)))
    (tmp_path / "images.bin").touch()
    os.truncate(tmp_path / "images.bin", 30_000 * SIZE**2 * 3)
    start = time.perf_counter()
    images = PixelArray(tmp_path, SIZE)
    assert images.array.shape == (30_000, SIZE, SIZE, 3)
    assert time.perf_counter() - start < 1


@pytest.fixture
def raw(tmp_path):
    store = ObjectStore(tmp_path / "objects")
    data = [jpeg(seed) for seed in range(6)] + [b"not an image"]
    ids = [store.put(d)[0] for d in data]
    table = pd.DataFrame({"file": [f"{i}.jpg" for i in range(len(ids))], "image_id": ids})
    return RawImages(table, store)


def test_only_what_the_store_lacks_is_decoded(raw, tmp_path, monkeypatch):
    store = PixelStore(tmp_path / "px")
    half = RawImages(raw.table[:3], raw.store)
    store.add(DecodeRequest(half, 16))
    decoded = []
    monkeypatch.setattr(pixel_store, "decode", lambda d, size: decoded.append(d) or decode(d, size))
    for expected in (4, 4):
        store.add(DecodeRequest(raw, 16))
        assert len(decoded) == expected
    store.add(DecodeRequest(raw, 32))
    assert len(decoded) == 4 + 7
    assert json.loads(store.summary()) == {"images": {"16px-v1": 7, "32px-v1": 7}}
    for image_id in raw.image_ids[:6]:
        expected = decode(raw.store.get(image_id), 16).pixels
        np.testing.assert_array_equal(store.at(16)[image_id], expected)
    assert "known format" in store.at(16).index.loc[raw.image_ids[6], "reason"]


def test_a_damaged_raw_image_stops_the_run_and_is_not_taken_for_unreadable(raw, tmp_path):
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
