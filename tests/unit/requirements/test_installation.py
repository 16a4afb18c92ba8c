"""Two versions of the package, and others that are called ``sagas``: each is found, and has a cure."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

import sagas
from sagas import checks
from sagas.apps import SagasConfig
from sagas.requirements import installation


def install(folder: Path, name: str, version: str, direct_url: str = "") -> None:
    """Leave a distribution's metadata in a folder, as pip does."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if direct_url:
        (metadata / "direct_url.json").write_text(direct_url)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder on the path, which comes last."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


def test_nothing_is_said_of_one_package(elsewhere: Path) -> None:
    assert checks.check_installation() == []


def test_another_version_that_is_installed_is_an_error_with_both_places(elsewhere: Path) -> None:
    install(elsewhere, "django-sagas", "0.0.9")
    (error,) = checks.check_installation()
    assert error.id == "sagas.E034"
    assert (
        f"{sagas.__version__} is imported from {installation.HERE}, and 0.0.9 is installed in {elsewhere}" in error.msg
    )
    assert error.hint is not None
    assert error.hint.startswith("Remove one: pip uninstall django-sagas")


def test_the_same_version_and_a_source_that_is_installed_to_be_edited_are_no_second_version(elsewhere: Path) -> None:
    install(elsewhere, "django-sagas", sagas.__version__)
    install(elsewhere / "src", "django-sagas", "0.0.9", '{"url": "file:///src", "dir_info": {"editable": true}}')
    sys.path.append(str(elsewhere / "src"))
    assert checks.check_installation() == []


def test_someone_elses_distribution_in_the_folder_of_the_engine_is_an_error(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given both in one folder
    install(elsewhere, "sagas", "0.6.0")
    assert checks.check_installation() == []
    monkeypatch.setattr(installation, "HERE", elsewhere)
    # Then
    found = [error for error in checks.check_installation() if error.id == "sagas.E035"]
    (error,) = found
    assert "sagas 0.6.0 is someone else's" in error.msg
    assert error.hint == "pip uninstall sagas; pip install --force-reinstall --no-deps django-sagas."


@pytest.mark.parametrize("file", ["sagas.py", "sagas/__init__.py"])
def test_a_module_of_the_project_that_the_engine_hides_is_a_warning(elsewhere: Path, file: str) -> None:
    (elsewhere / file).parent.mkdir(exist_ok=True)
    (elsewhere / file).touch()
    (warning,) = checks.check_installation()
    assert warning.id == "sagas.W033"
    assert warning.msg.startswith(f"{elsewhere / file} is named sagas too.")


def test_a_folder_without_modules_and_a_link_to_the_engine_hide_nothing(elsewhere: Path, tmp_path: Path) -> None:
    (elsewhere / "sagas").mkdir()
    (elsewhere / "vendored").mkdir()
    (elsewhere / "vendored" / "sagas").symlink_to(installation.HERE / "sagas")
    sys.path.append(str(elsewhere / "vendored"))
    assert checks.check_installation() == []


def test_an_app_of_the_project_with_the_same_label_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an app that comes first in INSTALLED_APPS; where it comes last, Django itself says that labels are doubled
    other = SagasConfig.create("sagas")
    monkeypatch.setattr(other, "name", "shop.sagas")
    monkeypatch.setitem(apps.app_configs, "sagas", other)
    # Then
    with pytest.raises(ImproperlyConfigured, match=r"the app 'shop\.sagas' has the label 'sagas'.*label="):
        SagasConfig("sagas", sagas)


def test_the_engine_keeps_its_label() -> None:
    class Renamed(SagasConfig):
        label = "engine"

    module: ModuleType = sagas
    with pytest.raises(ImproperlyConfigured, match="the engine's label must be 'sagas', and not 'engine'"):
        Renamed("sagas", module)
