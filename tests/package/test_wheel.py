"""What is in the wheel, and what it says of itself."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

import sagas
from sagas.requirements import extras, software
from tests.package.environment import run_hatchling
from tests.support.servers import ROOT


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def requirements(metadata: Message) -> dict[str, tuple[str, Requirement]]:
    """By package: its extra, or "", and the requirement."""
    found = {}
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        extra = re.search(r"extra == [\"'](\w+)", line)
        found[requirement.name] = (extra[1] if extra else "", requirement)
    return found


def test_the_wheel_has_every_file_of_the_engine_and_its_pytest_plugin_and_nothing_else(names: set[str]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "sagas"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()} | {"django_sagas_pytest.py"}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {"sagas/py.typed", "sagas/static/sagas/admin.css"} < names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_sdist_is_enough_to_build_the_same_wheel(names: set[str], tmp_path: Path) -> None:
    # Given
    run_hatchling("sdist", tmp_path, cwd=ROOT)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    # When
    run_hatchling("wheel", tmp_path, cwd=tmp_path / sdist.name.removesuffix(".tar.gz"))
    # Then
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        assert set(archive.namelist()) == names


def test_the_version_is_that_of_the_code_and_has_a_part_in_the_changelog(metadata: Message) -> None:
    assert metadata["Version"] == sagas.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", sagas.__version__)
    titles = re.findall(r"^## ([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles[0] in {"Unreleased", sagas.__version__}
    assert sagas.__version__ in titles


def test_the_core_needs_three_packages_and_everything_else_is_an_extra(metadata: Message) -> None:
    found = requirements(metadata)
    assert {name for name, (extra, _) in found.items() if not extra} == {"django", "pydantic", "uuid-utils"}
    promised = {"psycopg", "psycopg2", "celery", "redis", "notices", "embedded", "pytest", "otel", "prometheus"}
    assert set(metadata.get_all("Provides-Extra", [])) == promised
    assert {extra for _, extra in extras.EXTRAS.values()} | set(extras.DRIVERS) <= promised


def test_the_oldest_versions_are_those_that_the_system_checks_insist_on(metadata: Message) -> None:
    found = {name.lower(): requirement for name, (_, requirement) in requirements(metadata).items()}
    for name, oldest in software.PACKAGES.items():
        version = ".".join(map(str, oldest))
        specifier = found[name.lower()].specifier
        assert specifier.contains(f"{version}.0"), name
        assert not specifier.contains(f"{oldest[0] - 1}.99" if len(oldest) == 1 else f"{oldest[0]}.{oldest[1] - 1}.99")
    python = ".".join(map(str, software.PYTHON))
    assert metadata["Requires-Python"] == f">={python}"


def test_ruff_and_the_classifiers_know_the_oldest_python(metadata: Message) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (major, minor) = software.PYTHON
    assert settings["tool"]["ruff"]["target-version"] == f"py{major}{minor}"
    known = [line for line in metadata.get_all("Classifier", []) if re.search(r"Python :: 3\.\d+$", line)]
    assert known[0].endswith(f"{major}.{minor}")
