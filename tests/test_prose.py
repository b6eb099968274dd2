"""The prose rules of CONTRIBUTING.md: words that are never used, and the length of sentences."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEVER = {
    *("told", "tell", "tells", "telling"),
    *("mate", "mates", "torn", "grave", "graver", "gravest", "gravely", "gravity"),
    *("mend", "mends", "mended", "anew", "afresh", "spoilt", "whoever"),
}
NEVER_PHRASES = (
    *("broken off", "is to be had", "the whole way", "the way of the data", "one alone"),
)
TEXT = {".py", ".md", ".ipynb", ".yml", ".cff", ".jinja", ".toml", ".css", ""}
FOLDERS = ("src", "tests", "benchmarks", "conf", "docs", "notebooks", "data", ".ci", ".github")
MAX_WORDS = 40
EXCLUDED = {ROOT / "tests" / "test_prose.py"}  # lists the words themselves


def text_files() -> list[Path]:
    inside = (
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if not {"__pycache__", "results", "skin_lesions.egg-info"} & set(path.parts)
    )
    # An earlier measurement of the coverage leaves a database without a suffix.
    top = [path for path in ROOT.iterdir() if path.name not in ("LICENSE", ".coverage")]
    data = {path for path in (ROOT / "data").rglob("*") if path.name != "README.md"}
    found = {p for p in [*inside, *top] if p.is_file() and p.suffix in TEXT} - EXCLUDED - data
    return sorted({*found, ROOT / "docs" / "results" / "README.md"})


def words_of(text: str) -> list[str]:
    """Split a text into lower-case words; identifiers are split at underscores and capitals."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [word.lower() for word in re.findall(r"[A-Za-z]+", split)]


def markdown_of(path: Path) -> str:
    """Return the text of a page, or of the text cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def sentences_of(markdown: str) -> list[str]:
    """Return the sentences of a page without code blocks, tables and headings."""
    text = re.sub(r"^```.*?^```", "\n", markdown, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(?: {4,}|\||#).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "x", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"^\s*(?:[-*]|\d+\.)\s+", "\n\n", text, flags=re.MULTILINE)  # list items
    blocks = re.split(r"\n\s*\n", text)
    joined = (" ".join(block.split()) for block in blocks)
    return [
        s for block in joined for s in re.split(r"(?<=[.!?])[)\"*]*\s+(?=[A-Z`*\[x])", block) if s
    ]


@pytest.mark.parametrize("path", text_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_words_that_are_never_used_are_absent(path):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = [
        f"line {number}: {word}"
        for number, line in enumerate(lines, start=1)
        for word in words_of(line)
        if word in NEVER
    ]
    plain = " ".join(text.lower().split())
    found += [phrase for phrase in NEVER_PHRASES if re.search(rf"\b{phrase}\b", plain)]
    assert not found


@pytest.mark.parametrize(
    "path",
    [path for path in text_files() if path.suffix in (".md", ".ipynb")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_sentences_in_the_docs_have_at_most_forty_words(path):
    sentences = sentences_of(markdown_of(path))
    long = [sentence for sentence in sentences if len(sentence.split()) > MAX_WORDS]
    assert not long


def test_identifiers_are_split_into_words():
    assert words_of("_tellScores what_is_torn estimate") == [
        *("tell", "scores", "what", "is", "torn", "estimate")
    ]


def test_code_blocks_and_tables_are_no_sentences():
    page = (
        "# Head\n\nOne two. Three `a b c`\n\n```bash\nlong code. Here\n```\n\n| a | b |\n\n- four\n"
    )
    assert sentences_of(page) == ["One two.", "Three x", "four"]
