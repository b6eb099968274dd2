from pathlib import Path

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import abbreviate_home, redact, redact_urls, url_scheme


@pytest.mark.parametrize(
    ("location", "stored"),
    [
        ("https://host/x.pth", "https://host/x.pth"),
        ("https://user:pw@host/x?token=abc", "https://host/x"),
        ("https://token@host:8080/x.pth?a=1&b=2#c", "https://host:8080/x.pth"),
        ("HTTPS://user:pw@HOST/x", "HTTPS://HOST/x"),
        ("https://user:p@ss@host/x", "https://host/x"),
        ("https://user:pw@[::1]:80/x", "https://[::1]:80/x"),
        ("s3://key:secret@bucket/a/b", "s3://bucket/a/b"),
        ("ray://user:pw@host:10001", "ray://host:10001"),
        ("file:///home/me/secret/x.pth", "x.pth"),
        ("/home/me/secret/x.pth", "x.pth"),
        ("relative/x.pth", "x.pth"),
        ("/", "/"),
        ("imagenet", "imagenet"),
        ("host:6379", "host:6379"),
    ],
)
def test_results_store_names_and_urls_without_secrets(location, stored):
    assert redact(location) == stored


@pytest.mark.parametrize(
    "url", ["https://user:p/w@host/x", "https://user:12/3@host/x", "https://a:b@c/d@host/x"]
)
def test_url_that_cannot_be_parsed_safely_is_hidden(url):
    """The part after a slash in a password looks like a path."""
    assert redact(url) == "https://..."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from https://u:pw@h/x?t=pw, and then", "from https://h/x, and then"),
        ("got 'https://u:pw@h/x?t=pw'", "got 'https://h/x'"),
        ("a=https://u:pw@h/x,b=https://u:pw@h/y?t=pw", "a=https://h/x,b=https://h/y"),
        ("(https://h/x?t=pw).", "(https://h/x)."),
        (
            "Expected file://, https://, or http:// with",
            "Expected file://, https://, or http:// with",
        ),
        ("no address at all: C:\\x /data/x", "no address at all: C:\\x /data/x"),
    ],
)
def test_urls_in_a_text_lose_their_secrets_and_keep_the_punctuation(text, expected):
    assert redact_urls(text) == expected


def test_message_of_an_input_error_has_no_secrets():
    error = InputError("Cannot read https://user:pw@host/x?token=abc. Fix: run again")
    assert str(error) == "Cannot read https://host/x. Fix: run again"


def test_path_below_the_home_folder_is_abbreviated(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert abbreviate_home(Path("/home/me/a/b")) == str(Path("~/a/b"))
    assert abbreviate_home(Path("/data/b")) == str(Path("/data/b"))


def test_drive_letter_is_no_scheme():
    assert url_scheme("C:\\x.pth") == ""
