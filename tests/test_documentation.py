"""Parameters and links in the documentation."""

import re
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from skin_lesions.config.checks import check_parameters
from skin_lesions.settings import CONFIG_LOADER_ARGS

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/training.md",
    "docs/distributed.md",
    "docs/data.md",
    "docs/user-guide.md",
]
ROOT = Path(__file__).parents[1]
LINKED_PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    ROOT / "data" / "README.md",
    ROOT / "notebooks" / "README.md",
]
_GROUPS = "source|ingest|audit|split|preprocess|train|evaluate|report|compare|export|clean|localize"
_PARAMETER_LIST = re.compile(rf"(?<![\w.])(?:(?:{_GROUPS})\.[\w.]+=[^\s`',|]+,?)+")


def parameter_lists(project: Path) -> list[tuple[str, str]]:
    """Return all lists of parameters in the documentation, with their page."""
    return [
        (page, found.rstrip(".,;)"))
        for page in PAGES
        for found in _PARAMETER_LIST.findall((project / page).read_text())
    ]


def test_all_parameter_lists_in_the_documentation_are_valid(project):
    found = parameter_lists(project)
    assert len(found) > 20
    for page, values in found:
        runtime = OmegaConf.to_container(OmegaConf.from_dotlist(values.split(",")))
        loader = OmegaConfigLoader(
            str(project / "conf"), env="folder", runtime_params=runtime, **CONFIG_LOADER_ARGS
        )
        try:
            check_parameters(loader["parameters"])
        except ValueError as error:
            pytest.fail(f"{page}: {values}: {error}")


@pytest.mark.parametrize("page", LINKED_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_all_local_links_have_an_existing_target(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    for link in links:
        assert link.startswith("http") or (page.parent / link).exists(), link
