import unicodedata

import pytest

from skin_lesions.core.text import format_duration, normalize_name, similar_names, suggest


@pytest.mark.parametrize("name", ["melanom", "MELANOMA ", " Melanome"])
def test_similar_name_is_found_without_regard_to_case_and_outer_spaces(name):
    assert similar_names(name, ["Nevus", "Melanoma"]) == ["Melanoma"]


def test_different_name_is_not_similar():
    assert similar_names("Vascular lesions", ["Nevus", "Melanoma"]) == []


def test_suggestions_are_limited_and_the_most_similar_name_is_first():
    known = ["resnet18", "resnet34", "resnet50", "vgg16"]
    assert similar_names("resnet17", known, limit=2)[0] == "resnet18"
    assert len(similar_names("resnet17", known, limit=2)) == 2


def test_suggestion_keeps_the_spelling_of_the_known_name():
    assert suggest("foldr", ["Demo", "Folder"]) == "did you mean Folder?"
    assert suggest("x", ["demo", "folder"]) == "expected one of demo, folder"


def test_names_that_look_the_same_become_equal():
    composed = "nævus é"
    assert normalize_name(unicodedata.normalize("NFD", composed)) == composed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(42.3, "42 s"), (59.6, "1 min 0 s"), (332, "5 min 32 s"), (7300, "2 h 1 min")],
)
def test_durations_are_formatted_in_their_two_largest_units(seconds, text):
    assert format_duration(seconds) == text
