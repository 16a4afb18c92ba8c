"""The throwaway servers of a test session leave nothing behind, also where one of them does not start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import servers


def test_servers_that_did_start_are_stopped_if_another_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given. The session's own servers live in the project's folder, named by this process.
    monkeypatch.setattr(servers, "ROOT", tmp_path)
    called: list[str] = []

    def services(command: str, *_: str) -> str:
        called.append(command)
        if command == "start":
            raise RuntimeError("rabbitmq was not ready in 60 s")
        return ""

    monkeypatch.setattr(servers, "_services", services)
    monkeypatch.setattr(servers, "_started", False)
    monkeypatch.setattr(servers, "_only_hands_out_tests", lambda: False)
    monkeypatch.delenv(servers._MARK, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))

    # When
    with pytest.raises(RuntimeError, match="rabbitmq"):
        servers.ensure()

    # Then
    assert called == ["start", "destroy"]
