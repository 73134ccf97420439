"""The tests over C twins that check every access to memory: `make test-sanitized`.

    python -m tests.sanitized [pytest's options and paths]

The package is copied, its C twins are compiled with AddressSanitizer and UndefinedBehaviorSanitizer, and pytest runs on
the copy, with Python's own allocator off, so that objects of Python's are watched too. Whatever a twin does to memory
that isn't its own ends the process with a report. Run are the rooms that have a twin; not tests/faults, which does the
same to the same twins ten thousand times over and takes three times as long here, nor Redis's own suite, whose source
apt fetches, which doesn't work with the sanitizer's library in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
COPIED = ("mvcc_kv", "tests", "docs", "benches", "data")
FILES = ("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md")
FLAGS = ["-O1", "-g", "-shared", "-fPIC", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
REPORT = "sanitizer-report"
ROOMS = ["tests/engine", "tests/durability", "tests/server", "tests/redis", "tests/protocol", "tests/properties"]


def copy_to(folder: Path) -> None:
    """What the tests need, without what was compiled."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)


def compile_twins(folder: Path) -> list[Path]:
    """Compile every C twin of the copy where it is."""
    include, suffix = sysconfig.get_paths()["include"], sysconfig.get_config_var("EXT_SUFFIX")
    sources = sorted((folder / "mvcc_kv").rglob("_*.c"))
    for source in sources:
        target = source.with_name(f"{source.stem}{suffix}")
        subprocess.run(["cc", *FLAGS, *SANITIZE, f"-I{include}", str(source), "-o", str(target)], check=True)
    return sources


def environment(folder: Path) -> dict[str, str]:
    """With the sanitizer's library loaded first, as it must be in a program that wasn't made for it.

    Leaks are not looked for: CPython itself leaves much behind when it ends.
    """
    log = f"log_path={folder / REPORT}"
    library = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        "LD_PRELOAD": library.strip(),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": f"detect_leaks=0:abort_on_error=1:{log}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:{log}",
    }


def main(arguments: list[str]) -> int:
    """Pytest's exit status."""
    with TemporaryDirectory(prefix="mvcc-kv-sanitized-") as name:
        folder = Path(name)
        copy_to(folder)
        print("with sanitizers:", *(source.relative_to(folder) for source in compile_twins(folder)), flush=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            *(arguments or ["-n", "2", "--dist", "loadfile", "--ignore=tests/redis/tcl", *ROOMS]),
        ]
        status = subprocess.run(command, cwd=folder, env=environment(folder)).returncode
        for report in sorted(folder.glob(f"{REPORT}.*")):
            print(report.read_text())
            status = status or 1
        return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
