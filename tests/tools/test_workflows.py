"""The workflows may do only what they must, and run only what was read: an action is named by its commit."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sites import BROWSERS

ROOT = Path(__file__).parents[2]
TEXTS = {path.name: path.read_text() for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
WORKFLOWS = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
JOBS = {(name, job): content for name, workflow in WORKFLOWS.items() for job, content in workflow["jobs"].items()}
COMMANDS = {
    name: [step["run"] for job in workflow["jobs"].values() for step in job.get("steps", []) if "run" in step]
    for name, workflow in WORKFLOWS.items()
}
ACTIONS = [line for text in TEXTS.values() for line in re.findall(r"uses: *([^.\s].*)", text)]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}


def test_only_the_jobs_that_publish_may_do_more():
    more = {job: content["permissions"] for job, content in JOBS.items() if "permissions" in content}
    assert more == {
        ("ci.yml", "publish"): {"pages": "write", "id-token": "write"},
        ("release.yml", "publish"): {"id-token": "write"},
    }


@pytest.mark.parametrize("action", sorted(set(ACTIONS)))
def test_an_action_is_pinned_by_its_commit_and_says_its_version(action):
    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_an_action_has_the_same_commit_everywhere():
    assert len({action.partition("@")[0] for action in ACTIONS}) == len(set(ACTIONS))


def test_pypi_gets_what_was_built_and_tested_and_no_password():
    release = WORKFLOWS["release.yml"]["jobs"]
    assert release["test"]["needs"] == "build"
    assert release["publish"]["needs"] == ["gate", "test"]
    assert release["publish"]["environment"] == "pypi"
    assert "secrets." not in TEXTS["release.yml"]


def test_nothing_is_released_without_the_longer_gate():
    assert WORKFLOWS["release.yml"]["jobs"]["gate"]["uses"] == "./.github/workflows/nightly.yml"
    assert COMMANDS["nightly.yml"] == [".ci/run test-all"]


def test_pages_are_published_only_from_a_commit_of_the_main_branch_whose_gate_passed():
    deploying = [job for job, content in JOBS.items() if "actions/deploy-pages@" in str(content)]
    assert deploying == [("ci.yml", "publish")]
    assert JOBS["ci.yml", "publish"]["needs"] == "test"
    assert JOBS["ci.yml", "publish"]["if"] == "github.event_name == 'push'"
    assert WORKFLOWS["ci.yml"][True]["push"] == {"branches": ["main"]}  # YAML reads `on` as true
    assert COMMANDS["ci.yml"] == [".ci/run", "make site"]


def test_the_wheel_is_tested_on_every_python_that_pypi_shows():
    versions = WORKFLOWS["release.yml"]["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert versions == re.findall(r"Python :: (\d\.\d+)", (ROOT / "pyproject.toml").read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="a script of bash")
@pytest.mark.parametrize(
    ("user", "there", "told"),
    [
        (0, [], ["chromium-headless-shell", "npm", "iverilog"]),
        (1000, ["npm", "iverilog"], ["sudo chromium-headless-shell"]),
        (1000, ["google-chrome", "npm"], ["sudo iverilog"]),
        (1000, [BROWSERS[1], "npm", "iverilog"], []),
    ],
)
def test_the_gate_installs_what_is_missing_as_whoever_runs_it(tmp_path, user, there, told):
    log = tmp_path / "log"
    scripts = dict.fromkeys(there, "") | {
        "id": f"echo {user}",
        "make": f'echo "make $* in CI=$CI" >> {log}',
        "apt-get": f'[ "$1" = install ] && echo "$SUDO${{!#}}" >> {log} || true',
        "sudo": 'SUDO="sudo " "$@"',
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name))
    subprocess.run([ROOT / ".ci" / "run", "parity"], env={"PATH": str(tmp_path)}, check=True)
    assert log.read_text().splitlines() == [*told, "make parity in CI=true"]
