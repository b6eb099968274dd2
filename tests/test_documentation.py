"""What the pages say can be done."""

import re
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from skin_lesions.config.checks import check_parameters
from skin_lesions.settings import CONFIG_LOADER_ARGS

PAGES = ["README.md", "CONTRIBUTING.md", "docs/training.md", "docs/distributed.md", "docs/data.md"]
_GROUPS = "source|ingest|audit|split|preprocess|train|evaluate|report"
_GIVEN = re.compile(rf"(?<![\w.])(?:(?:{_GROUPS})\.[\w.]+=[^\s`',|]+,?)+")


def given(project: Path) -> list[tuple[str, str]]:
    """Return each list of parameters that a page gives, with the page."""
    return [
        (page, found.rstrip(".,;)"))
        for page in PAGES
        for found in _GIVEN.findall((project / page).read_text())
    ]


def test_every_list_of_parameters_on_the_pages_is_accepted(project):
    found = given(project)
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


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        "docs/results/README.md",
        "docs/decisions/README.md",
        "docs/user-guide.md",
        "docs/glossary.md",
        "data/README.md",
    ],
)
def test_every_link_within_the_project_leads_somewhere(project, page):
    place = (project / page).parent
    links = re.findall(r"\]\(([^)#]+)", (project / page).read_text())
    for link in links:
        assert link.startswith("http") or (place / link).exists(), link
