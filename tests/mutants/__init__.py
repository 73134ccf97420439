"""Mutants: does the stress harness find bugs that are known to be there?

table.py     the bugs, and what finds each
running.py   a bug put into a copy of the package, and that copy put to the test

    python -m tests.mutants                          each by its own workload
    python -m tests.mutants --workloads all          each by every workload, in so many seconds each
"""
