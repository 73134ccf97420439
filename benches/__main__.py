"""`python3 -m benches [--python PATH] [OPTIONS]`: install what is missing, then become `run.py`."""

from __future__ import annotations

import argparse
import os

from benches.install import environment_of, install_programs, pick_interpreter


def main() -> None:
    """Become the benchmarks, under the interpreter that is to be measured."""
    parser = argparse.ArgumentParser(prog="benches", add_help=False, allow_abbrev=False)
    parser.add_argument("--python")
    named, options = parser.parse_known_args()
    python = pick_interpreter(named.python)
    if "--help" not in options:
        install_programs(python)
    inside = str(environment_of(python))
    os.execv(inside, [inside, "-m", "benches.run", *options])


if __name__ == "__main__":
    main()
