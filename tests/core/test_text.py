import pytest

from skin_lesions.core.text import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(42.3, "42 s"), (59.6, "1 min 0 s"), (332, "5 min 32 s"), (7300, "2 h 1 min")],
)
def test_durations_are_formatted_in_their_two_largest_units(seconds, text):
    assert format_duration(seconds) == text
