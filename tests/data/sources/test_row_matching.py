import sys
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_lesions.data.sources.row_matching import match_rows


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("train/mel/1.jpg", "train/mel/1.jpg"),
        ("mel/1.jpg", "train/mel/1.jpg"),
        ("1.jpg", "train/mel/1.jpg"),
        ("1", "train/mel/1.jpg"),
        ("mel/1", "train/mel/1.jpg"),
        ("1.png", "train/mel/1.jpg"),
        ("old/train/mel/1.jpg", "train/mel/1.jpg"),
        ("./mel/1.jpg", "mel/1.jpg"),
        ("C:\\data\\mel\\1.jpg", "mel/1.jpg"),
        ("ISIC_1.JPG", "ISIC_1.jpg"),
        ("elsewhere/ISIC_1.jpg", "mel/ISIC_1.jpg"),
        ("elsewhere/ISIC_1", "mel/ISIC_1.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("lesion.1", "lesion.1.jpg"),
    ],
)
def test_row_is_matched_by_path_name_or_stem(key, file):
    assert match_rows([key, "another"], [file]) == [[0]]


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("mel/1.jpg", "mel/11.jpg"),
        ("el/1.jpg", "mel/2.jpg"),
        ("lesion", "lesion.1.jpg"),
        ("./", "mel/1.jpg"),  # an empty path
    ],
)
def test_row_is_not_matched_by_a_part_of_a_name(key, file):
    assert match_rows([key], [file]) == [[]]


def test_longer_path_takes_precedence_over_a_name():
    assert match_rows(["1.jpg", "nv/1.jpg"], ["a/nv/1.jpg", "a/mel/1.jpg"]) == [[1], [0]]


def test_row_matched_by_path_is_not_matched_to_another_file_by_name():
    assert match_rows(["mel/1.jpg"], ["mel/1.jpg", "nv/1.jpg"]) == [[0], []]


def brute_force_match(keys, files):
    """Compare every row with every file: a direct implementation of the rules."""

    def without_suffix(path):
        return path.rsplit(".", 1)[0] if path.endswith((".jpg", ".png")) else path

    def by_path(path, names):
        longer = [r for r, key in enumerate(names) if f"/{key}".endswith(f"/{path}")]
        shorter = [r for r, key in enumerate(names) if f"/{path}".endswith(f"/{key}")]
        longest = max((len(names[r]) for r in shorter), default=0)
        return longer or [r for r in shorter if len(names[r]) == longest]

    matches = [
        by_path(f, keys) or by_path(without_suffix(f), list(map(without_suffix, keys)))
        for f in files
    ]
    unused = set(range(len(keys))) - {rows[0] for rows in matches if rows}
    names = [without_suffix(key).split("/")[-1] for key in keys]
    return [
        rows or [r for r in sorted(unused) if names[r] == without_suffix(file).split("/")[-1]]
        for rows, file in zip(matches, files, strict=True)
    ]


names = st.builds(str.__add__, st.sampled_from("ab1"), st.sampled_from(["", ".jpg", ".png", ".x"]))


paths = st.builds(
    lambda folders, name: "/".join([*folders, name]),
    st.lists(st.sampled_from("ab1"), max_size=3),
    names,
)


@settings(max_examples=50)
@given(keys=st.lists(paths, min_size=2, max_size=9), files=st.lists(paths, min_size=2, max_size=9))
def test_indexed_matching_equals_brute_force_matching(keys, files):
    assert match_rows(keys, files) == brute_force_match(keys, files)


@settings(max_examples=20)
@given(files=st.lists(paths, unique=True, min_size=5), rng=st.randoms())
def test_row_with_a_complete_path_matches_its_file_in_any_row_order(files, rng):
    keys = [f"somewhere/{file}" for file in files]
    rng.shuffle(keys)
    for file, rows in zip(files, match_rows(keys, files), strict=True):
        assert keys.index(f"somewhere/{file}") in rows


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("ISIC_{:07d}", "train/class {0}/ISIC_{0:07d}.jpg"),
        ("old/{}/front.jpg", "new/{}/front.jpg"),  # always the same file name
        ("front.jpg", "{}/front.jpg"),
    ],
)
def test_work_grows_linearly_with_the_number_of_rows_and_files(key, file):
    def operations(n):
        keys, files = ([form.format(i) for i in range(n)] for form in (key, file))
        with count_operations() as count:
            assert len(match_rows(keys, files)) == n
        return count[0]

    # Comparing each row with each file would quadruple the work.
    assert operations(400) < 2.5 * operations(200)


@contextmanager
def count_operations():
    """Count the operations of the interpreter, which do not depend on the speed of the machine."""
    count = [0]

    def trace(frame, event, argument):
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count[0] += event == "opcode"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(previous)
