"""Files around the code: hooks, workflows, templates, citation and decision records."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
RECORDS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
STATUSES = ("proposed", "accepted", "rejected", r"superseded by \[\d{4}\]\(.*\)")


def project_metadata():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def makefile_targets():
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def by_name(path):
    return path.name


def test_pre_commit_has_only_local_hooks_that_need_no_download():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}


def test_lock_pins_each_development_tool():
    tools = project_metadata()["optional-dependencies"]["dev"]
    names = {re.split(r"[>=<\[]", tool)[0].lower() for tool in tools}
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert names <= set(locked)
    assert locked == sorted(locked)


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_workflows_call_only_existing_targets_of_the_makefile(path):
    commands = [step["run"] for step in steps_of(yaml.safe_load(path.read_text())) if "run" in step]
    called = {name for text in commands for name in re.findall(r"^make ([\w-]+)", text, re.M)}
    assert called
    assert called <= makefile_targets()


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_workflows_pin_actions_to_a_major_version_and_may_only_read(path):
    workflow = yaml.safe_load(path.read_text())
    actions = [step["uses"] for step in steps_of(workflow) if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)
    assert workflow["permissions"] == {"contents": "read"}


def test_wheel_is_tested_with_all_extras():
    jobs = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())["jobs"]
    tested = [entry["extras"] for entry in jobs["wheel"]["strategy"]["matrix"]["include"]]
    extras = sorted(set(project_metadata()["optional-dependencies"]) - {"dev"})
    assert tested == ["", f"[{','.join(extras)}]"]


def test_oldest_tested_python_is_the_oldest_supported_one():
    jobs = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())["jobs"]
    oldest = jobs["test"]["strategy"]["matrix"]["python"][0]
    assert project_metadata()["requires-python"] == f">={oldest}"


@pytest.mark.parametrize("path", FORMS, ids=by_name)
def test_issue_forms_forbid_patient_images(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    first, *_, last = form["body"]
    assert "**No patient images.**" in first["attributes"]["value"]
    assert last["type"] == "checkboxes"
    assert last["attributes"]["options"][0]["required"] is True


def test_pull_request_template_forbids_patient_images():
    assert "**No patient images**" in (GITHUB / "pull_request_template.md").read_text()


def test_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project_metadata()["version"]
    assert citation["license"] == project_metadata()["license"]


def test_changelog_has_only_the_four_groups_of_changes():
    groups = re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(groups) <= {"Added", "Changed", "Fixed", "Security"}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name[:4])
def test_decision_records_have_status_date_and_sections(path):
    text = path.read_text()
    assert text.startswith(f"# {path.name[:4]}. ")
    assert re.search(rf"^Status: ({'|'.join(STATUSES)})$", text, re.MULTILINE)
    assert re.search(r"^Date: \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections[:3] == ["Context", "Decision", "Consequences"]
    assert set(sections[3:]) <= {"Rejected alternatives"}


def test_decision_index_lists_each_record_with_its_title_and_status():
    rows = re.findall(
        r"^\| (\d{4}) \| \[(.*)\]\((\S+\.md)\) \| (.*) \| .+ \|$",
        (ROOT / "docs" / "decisions" / "README.md").read_text(),
        re.MULTILINE,
    )
    expected = []
    for path in RECORDS:
        text = path.read_text()
        title = re.search(r"^# \d{4}\. (.*)$", text, re.MULTILINE)[1]
        status = re.search(r"^Status: (.*)$", text, re.MULTILINE)[1]
        expected.append((path.name[:4], title, path.name, status))
    assert rows == expected
