"""The tutorial is typed, from its first line to the last, where nothing but the wheel with its extras is installed.

Its files are written where it says, and its commands run in one shell, as a reader's. What is left out: pip, which
would ask an index, and createdb.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.apart import apart
from tests.docs.papers import ROOT, all_blocks
from tests.package.environment import Environment, build, linked

TUTORIAL = ROOT / "docs/tutorial.md"

#: The database of the settings is that of the tests. ``pip`` and ``createdb`` do nothing.
PRELUDE = """
set -eu
pip() { :; }
createdb() { :; }
django-admin() { python -m django "$@"; }
celery() { python -m celery "$@"; }
wait() { builtin wait "$@" || true; }
look() { python manage.py shell < look.py | sed '/imported automatically/d; /^$/d' > seen; }
until_it_says() { until look && grep -qF "$1" seen; do sleep 0.2; done; }
worker=
trap '[ -z "$worker" ] || kill "$worker" || true; cat seen work.log >&2' EXIT
"""
DATABASE = """
from urllib.parse import urlsplit as _split
_url = _split("{DATABASE_URL}")
DATABASES["default"] |= {{"NAME": _url.path[1:], "USER": _url.username, "PASSWORD": _url.password,
    "HOST": _url.hostname, "PORT": _url.port}}
"""

BROKER = """
CELERY_BROKER_URL = "{RABBITMQ_URL}"
SAGAS["REDIS_URL"] = "{REDIS_URL}"
"""
LAST = """
import sagas
from tastings.sagas import Booking, BookTasting
run_id = BookTasting.start(Booking(guest="Ada", tasting="Oolong"), business_key="B-5")
sagas.confirm(run_id, "payment", {"payment_id": "pay_5"})
"""


def write(path: str, text: str) -> str:
    """The command that writes a file; settings are appended."""
    return f"cat {'>>' if path.endswith('settings.py') else '>'} {path} <<'END_OF_THE_FILE'\n{text}END_OF_THE_FILE\n"


def script(urls: dict[str, str]) -> str:
    """Everything that the page has before RabbitMQ, with a wait for whatever a command has begun."""
    page = TUTORIAL.read_text()
    typed = [PRELUDE]
    for block in all_blocks(TUTORIAL):
        if page.index(block.text) > page.index("## 7. "):
            break
        if block.title == "at the start of write_ticket":
            lines = [f"    {line}" if line else "" for line in block.text.splitlines()[1:]]
            head = "def write_ticket(call: Call[Booking]) -> dict[str, int]:\n"
            slow = f"path = 'tastings/sagas.py'; text = open(path).read(); assert {head!r} in text\n"
            slow += f"open(path, 'w').write(text.replace({head!r}, {head + chr(10).join(lines) + chr(10)!r}))\n"
            typed.append(write("slow.py", slow) + "python slow.py\n")
        elif block.language == "python":
            typed.append(write(block.title, block.text))
            if block.title == "shop/settings.py":
                typed.append(write(block.title, DATABASE.format(**urls)))
        elif block.language == "sh":
            typed.append(block.text.replace("python -m venv .venv\n", ""))
        else:
            typed.append(f"until_it_says '{block.text.strip().splitlines()[-1]}'\n")
            if len(block.text.splitlines()) > 1:
                typed.append(write("wanted", block.text) + "diff wanted seen\n")
    typed.append("until_it_says 'B-3 FAILED'\nuntil_it_says 'B-4 FAILED'\n")
    typed.append("until_it_says 'available 1 held 0 sold 4 tickets 2'\n")
    return "".join(typed)


def with_rabbitmq(urls: dict[str, str]) -> str:
    """What the page has from RabbitMQ on, and a booking of the last chair."""
    page = TUTORIAL.read_text()
    typed = []
    for block in all_blocks(TUTORIAL):
        if page.index(block.text) < page.index("## 7. "):
            continue
        if block.language == "python":
            typed.append(write(block.title, block.text + BROKER.format(**urls)))
        else:
            started = block.text.replace(
                "celery -A sagas worker", "celery -A sagas worker > work.log 2>&1 &\nworker=$!"
            )
            assert started != block.text
            typed.append(started)
    typed.append(write("last.py", LAST) + "python manage.py shell < last.py\n")
    typed.append("until_it_says 'B-5 SUCCEEDED'\nuntil_it_says 'available 0 held 0 sold 5 tickets 3'\n")
    return "".join(typed)


def type_it(work: Path, *extras: str, also: bool) -> None:
    """Type it where the wheel and these extras are in ``.venv`` of an empty folder, as a reader's would be."""
    (work / "dist").mkdir()
    (work / "work").mkdir()
    bare: Environment = linked(work / "work/.venv", build(work / "dist"), *extras)
    with apart() as urls:
        done = subprocess.run(
            ["bash", "-c", f"{script(urls)}{with_rabbitmq(urls) if also else ''}echo typed\n"],
            cwd=bare.folder.parent,
            env=bare.variables(),
            capture_output=True,
            text=True,
            check=False,
            timeout=580,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("typed\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_reader_who_types_the_tutorial_without_a_broker_ends_where_it_says(tmp_path: Path) -> None:
    type_it(tmp_path, "psycopg2", also=False)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_reader_who_types_all_of_it_has_the_last_booking_from_a_celery_worker(tmp_path: Path) -> None:
    type_it(tmp_path, "psycopg2", "celery", "redis", also=True)


def test_the_tutorial_names_what_it_installs_as_the_readme_does() -> None:
    (installs,) = {re.findall(r"pip install .*", paper.read_text())[0] for paper in (TUTORIAL, ROOT / "README.md")}
    assert installs == 'pip install "django-sagas[psycopg2]"'
