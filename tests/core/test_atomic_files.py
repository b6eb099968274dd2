import pytest

from skin_lesions.core.atomic_files import atomic_write, file_size, format_bytes


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with atomic_write(path) as partial:
        partial.write_text("half")
        assert partial.suffix == ".csv"
        assert not path.exists()
    assert path.read_text() == "half"


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
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


def test_the_longest_name_that_a_folder_takes_can_be_written(tmp_path):
    path = tmp_path / f"{'n' * 251}.csv"
    with atomic_write(path) as partial:
        partial.write_text("x")
    assert path.exists()


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (1_440_000_000, "1.44 GB")],
)
def test_a_size_is_written_in_a_unit_that_suits_it(size, words):
    assert format_bytes(size) == words


def test_a_file_that_is_not_there_has_no_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"four")
    assert [file_size(tmp_path / name) for name in "ab"] == [4, 0]
