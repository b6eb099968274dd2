import pytest

from skin_lesions.core.atomic_files import atomic_write, file_size, format_bytes


def test_file_exists_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with atomic_write(path) as partial:
        partial.write_text("half")
        assert partial.suffix == ".csv"
        assert not path.exists()
    assert path.read_text() == "half"


def test_failed_write_keeps_the_old_file_and_removes_the_temporary_one(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_until_the_disk_is_full():
        with atomic_write(path) as partial:
            partial.write_text("ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_until_the_disk_is_full()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_with_the_longest_possible_name_is_written(tmp_path):
    path = tmp_path / f"{'n' * 251}.csv"
    with atomic_write(path) as partial:
        partial.write_text("x")
    assert path.exists()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (1_440_000_000, "1.44 GB")],
)
def test_bytes_are_formatted_with_a_suitable_unit(size, text):
    assert format_bytes(size) == text


def test_missing_file_has_size_zero(tmp_path):
    (tmp_path / "a").write_bytes(b"four")
    assert [file_size(tmp_path / name) for name in "ab"] == [4, 0]
