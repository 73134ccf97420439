"""Redis's source from Debian's archive, as its authors released it. Needs neither root nor a changed apt: deb-src is
enabled in a folder of ours only."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["CACHE", "VERSION", "source"]

VERSION = "7.0.15"
CACHE = Path(__file__).resolve().parents[3] / ".cache"
_APT = Path("/etc/apt")
_TIMEOUT_S = 300


def source() -> Path:
    """The source's folder; downloaded if it isn't there yet. Raises `RuntimeError` if it can't be had."""
    folder = CACHE / f"redis-{VERSION}"
    if not (folder / "tests" / "test_helper.tcl").exists():
        CACHE.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=CACHE) as place:
            _extract(_downloaded(Path(place)), Path(place))
            (Path(place) / folder.name).rename(folder)
    return folder


def _downloaded(place: Path) -> Path:
    """The upstream tarball, in a folder of its own with apt's lists beside it."""
    (place / "parts").mkdir()
    (place / "lists" / "partial").mkdir(parents=True)
    for listed in [_APT / "sources.list", *_APT.glob("sources.list.d/*.sources"), *_APT.glob("sources.list.d/*.list")]:
        if listed.exists():
            (place / "parts" / listed.name).write_text(_of_sources(listed.read_text()))
    options = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": place / "parts",
        "Dir::State::Lists": place / "lists",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    _run([*apt, "update"], place)  # a list that fails is another archive's, or the next step tells
    said = _run([*apt, "source", "--download-only", "--tar-only", "redis"], place)
    tarball = place / f"redis_{VERSION}.orig.tar.gz"
    if not tarball.exists():
        raise RuntimeError(f"apt has no source of Redis {VERSION}: {said}")
    return tarball


def _of_sources(listed: str) -> str:
    """The same archives' sources.

    >>> _of_sources("Types: deb")
    'Types: deb-src'
    """
    return re.sub(r"^deb ", "deb-src ", re.sub(r"^Types:.*$", "Types: deb-src", listed, flags=re.M), flags=re.M)


def _run(command: list[str], folder: Path) -> str:
    """What it said on standard error."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False).stderr


def _extract(tarball: Path, folder: Path) -> None:
    with tarfile.open(tarball) as archive:
        archive.extractall(folder, filter="data")
