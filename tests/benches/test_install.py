"""Which interpreter is measured, and where its environment is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benches.install import pick_interpreter
from benches.programs import PACKAGES, find_program, missing_programs


def test_the_interpreter_that_is_named_is_taken() -> None:
    assert pick_interpreter(sys.executable) == sys.executable


def test_what_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="or newer; name another with --python"):
        pick_interpreter(str(tmp_path / "python"))


def test_one_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3 10 9\n")
    old.chmod(0o755)
    with pytest.raises(SystemExit, match="or newer; name another"):
        pick_interpreter(str(old))


def test_without_a_name_one_is_found() -> None:
    assert pick_interpreter(None) in ("/usr/bin/python3", sys.executable)


def test_a_program_off_the_path_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(PACKAGES) - {"initdb"} <= set(missing_programs())
    (tmp_path / "etcd").write_text("")
    (tmp_path / "etcd").chmod(0o755)
    assert find_program("etcd") == str(tmp_path / "etcd") and "etcd" not in missing_programs()
