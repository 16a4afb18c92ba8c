"""The pytest plugin, which every pytest of an environment loads that has the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.package.environment import Environment, linked
from tests.package.letters import Database

#: Somebody's tests that have nothing to do with sagas or Django.
UNRELATED = """
import sys

def test_nothing_of_the_engine_is_loaded(request):
    assert not [name for name in sys.modules if name.split(".")[0] in {"sagas", "django", "psycopg2", "pydantic"}]
    assert request.config.pluginmanager.hasplugin("django-sagas") or "django_sagas_pytest" in sys.modules
"""
#: Tests of a project with sagas.
RELATED = """
import pytest
from letters.models import Letter
from letters.sagas import SendLetter, Wish
from sagas.testing import given

@pytest.mark.django_db
def test_a_letter_is_written(saga_carrier, saga_clock):
    given(SendLetter, Wish(to="Lin")).then_succeeded()
    assert Letter.objects.get().to == "Lin"
"""
CLOCK = "import pytest\n@pytest.mark.django_db\ndef test_time(saga_clock):\n    pass\n"


@pytest.fixture(scope="module")
def unrelated(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel, and pytest, which is there for something else."""
    return linked(tmp_path_factory.mktemp("unrelated") / "venv", wheel, beside=["pytest"])


@pytest.fixture(scope="module")
def testing(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with the extra for tests."""
    return linked(tmp_path_factory.mktemp("testing") / "venv", wheel, "psycopg2", "pytest")


def passed(output: str) -> int:
    found = re.search(r"(\d+) passed", output)
    return int(found[1]) if found else 0


def test_an_unrelated_run_of_pytest_is_not_disturbed(unrelated: Environment, tmp_path: Path) -> None:
    (tmp_path / "test_unrelated.py").write_text(UNRELATED)
    output = unrelated.run("-W", "error", "-m", "pytest", "-q", "--strict-config", "--strict-markers", cwd=tmp_path)
    assert passed(output) == 1
    assert "warning" not in output


@pytest.mark.slow
def test_a_project_uses_the_fixtures_without_naming_the_plugin(
    testing: Environment, project: Path, database: Database
) -> None:
    (project / "test_letters.py").write_text(RELATED)
    with (project / "post/settings.py").open("a") as file:
        file.write(database.settings)
    testing.run("-m", "django", "makemigrations", "letters", "--settings=post.settings", cwd=project)
    output = testing.run("-W", "error", "-m", "pytest", "-q", "--ds=post.settings", cwd=project)
    assert passed(output) == 2


@pytest.mark.slow
def test_a_package_of_the_project_that_hides_the_engine_is_named(testing: Environment, project: Path) -> None:
    # Given a project with a module of this name, which Python finds first
    (project / "sagas.py").write_text("STORIES = ['Egil', 'Njal']\n")
    (project / "test_time.py").write_text(CLOCK)
    settings = (project / "post/settings.py").read_text().replace('"sagas", "letters"', "")
    (project / "post/settings.py").write_text(
        settings + "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
    )
    # When
    done = testing.call("-m", "pytest", "-q", "--ds=post.settings", cwd=project)
    # Then
    assert done.returncode == 1
    (said,) = {line.strip() for line in done.stdout.splitlines() if line.startswith("`import sagas` finds")}
    assert said.startswith(f"`import sagas` finds {project / 'sagas.py'}, and not {testing.packages / 'sagas'}")
    assert "Traceback" not in done.stdout
