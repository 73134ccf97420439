"""What the benchmarks need, installed: Debian's packages, and an environment of the interpreter that is measured.

    .bench/3.11.2-1a2b3c4d/    the environment of one interpreter, with this project and its `bench` extra

The interpreter runs all that is Python here: our server, the load generators, the peers that are Python. A plain build
from source is a third slower than one that was built with a profile, as Debian's is, and its users have that.
It needs the standard library only.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benches.programs import missing_programs, package_of

__all__ = ["environment_of", "install_programs", "pick_interpreter"]

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / ".bench"
_DEBIANS = "/usr/bin/python3"
_OLDEST = (3, 11)
_COMPILED = (".c", ".h", ".pyx")
_HAS_HEADERS = "import os, sysconfig; os.stat(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))"
_POLICY = Path("/usr/sbin/policy-rc.d")


def pick_interpreter(named: str | None) -> str:
    """The one that was named; otherwise Debian's, if it is there and new enough; otherwise this one.

    Raises `SystemExit` if the one that was named is too old or none.
    """
    if named is not None:
        if _version_of(named)[:2] < _OLDEST:
            raise SystemExit(f"{named} is no Python {_OLDEST[0]}.{_OLDEST[1]} or newer; name another with --python")
        return named
    return _DEBIANS if _version_of(_DEBIANS)[:2] >= _OLDEST else sys.executable


def _version_of(python: str) -> tuple[int, ...]:
    """An interpreter's version; empty if it is none."""
    command = [python, "-c", "import sys; print(*sys.version_info[:3])"]
    try:
        return tuple(map(int, subprocess.run(command, capture_output=True, check=True).stdout.split()))
    except (OSError, subprocess.CalledProcessError, ValueError):
        return ()


def install_programs(python: str) -> None:
    """Install what is missing from Debian's packages. Raises `SystemExit`, with what to type, where it can't."""
    packages = [package_of(name) for name in missing_programs()]
    if subprocess.run([python, "-c", "import ensurepip"], capture_output=True).returncode:
        packages.append("python3-venv")
    if subprocess.run([python, "-c", _HAS_HEADERS], capture_output=True).returncode:
        packages += ["python3-dev", "gcc"]  # for the quick lane, compiled
    if not packages:
        return
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if os.geteuid() or not Path("/usr/bin/apt-get").exists():
        raise SystemExit(f"the benchmarks need what these packages of Debian's have: sudo {' '.join(command)}")
    print("installing", *packages, file=sys.stderr)
    with _no_services():
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(command, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


@contextmanager
def _no_services() -> Iterator[None]:
    """What is installed in this block is not started as a service, unless this machine has a policy of its own."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def environment_of(python: str) -> Path:
    """The interpreter in an environment with all that the benchmarks import; made if it is not there or too old."""
    version = ".".join(map(str, _version_of(python)))
    directory = ENVIRONMENTS / f"{version}-{hashlib.sha256(os.path.realpath(python).encode()).hexdigest()[:8]}"
    made, inside = directory / ".ready", directory / "bin" / "python"
    if not made.exists() or made.stat().st_mtime < _changed_at():
        print(f"making an environment of {python} ({version}) in {directory}", file=sys.stderr)
        subprocess.run([python, "-m", "venv", str(directory)], check=True)
        install = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--editable", f"{ROOT}[bench]"], check=True)
        made.touch()
    return inside


def _changed_at() -> float:
    """When something last changed that an environment is made of; Python files it only refers to."""
    compiled = (path for suffix in _COMPILED for path in (ROOT / "mvcc_kv").rglob(f"*{suffix}"))
    return max(path.stat().st_mtime for path in (*ROOT.glob("*.toml"), *ROOT.glob("*.py"), *compiled))
