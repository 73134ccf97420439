"""The fixture, as a user's test suite has it: in a pytest of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytest_plugins = "pytester"

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "testing.md"
PLUGIN = "mvcc_kv.stress.pytest_plugin"

RIGHT = """
    import mvcc_kv

    @mvcc_kv.transactional
    def visit(tx):
        tx["visits"] = tx.get("visits", 0) + 1

    def test_visits(interleavings):
        interleavings.client(visit)
        interleavings.client(visit)

        @interleavings.check
        def both_count(db):
            assert db["visits"] == 2

        explored = interleavings.run()
        print("schedules:", explored.schedules)
"""
RACY = RIGHT.replace("@mvcc_kv.transactional", "").replace("print", "raise AssertionError")


@pytest.fixture(autouse=True)
def plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded by its name: an installed distribution does that by its entry point, which is of the same name."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("MVCC_KV_INTERLEAVINGS_SEED", raising=False)
    monkeypatch.delenv("MVCC_KV_INTERLEAVINGS_SCHEDULES", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", PLUGIN, *arguments, timeout=60)


def test_right_code_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RIGHT)
    result = run(pytester, "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*schedules: 200*"])


def test_a_race_fails_with_its_steps_its_assertion_and_its_seed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RACY)
    result = run(pytester, "--interleavings-seed=5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '*assert db?"visits"? == 2',
            "*InterleavingError: check 'both_count': AssertionError: assert 1 == 2",
            "E *t?: GET visits        not there",
            "E *    t?: GET visits    not there",
            "E *    t?: PUT visits 1  Ok",
            "E *t?: PUT visits 1      Ok",
            "E *Schedule * of 200 (seed 5)*",
            'E *Have it again with run(replay="t* t*?2 t*").',
        ]
    )


def test_a_seed_that_nobody_gave_is_printed_and_finds_the_same_again(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RACY)
    first = run(pytester).stdout.str()
    found = re.search(r"\(seed (\d+)\)", first)
    assert found is not None
    again = run(pytester, f"--interleavings-seed={found[1]}").stdout.str()
    steps = [line for line in first.splitlines() if line.startswith("E ")]
    assert steps == [line for line in again.splitlines() if line.startswith("E ")]


def test_the_command_line_says_how_many_schedules(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RIGHT.replace("run()", "run(schedules=7)"))
    run(pytester, "-s", "--interleavings-schedules=12").stdout.fnmatch_lines(["*schedules: 12*"])


def test_the_environment_says_it_too(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(RACY)
    monkeypatch.setenv("MVCC_KV_INTERLEAVINGS_SEED", "6")
    monkeypatch.setenv("MVCC_KV_INTERLEAVINGS_SCHEDULES", "33")
    run(pytester).stdout.fnmatch_lines(["E *Schedule * of 33 (seed 6)*"])


@pytest.mark.parametrize(
    ("name", "text", "refusal"),
    [
        ("SEED", "five", "*MVCC_KV_INTERLEAVINGS_SEED is a whole number, not 'five'*"),
        ("SCHEDULES", "0", "*--interleavings-schedules is at least 1, not 0*"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, text: str, refusal: str
) -> None:
    pytester.makepyfile(RIGHT)
    monkeypatch.setenv(f"MVCC_KV_INTERLEAVINGS_{name}", text)
    run(pytester).stdout.fnmatch_lines([refusal])


def test_clients_that_were_never_run_fail_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(interleavings):\n    interleavings.client(lambda db: db.add('n'))\n")
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*never ran them: call interleavings.run()*"])


def test_pytest_fail_in_a_check_and_in_a_client_is_a_failed_schedule(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        def test_check(interleavings):
            interleavings.client(lambda db: db.add("n"))
            interleavings.check(lambda db: pytest.fail("not so"))
            interleavings.run()

        def test_client(interleavings):
            interleavings.client(lambda db: [db.add("n"), pytest.fail("not so")])
            interleavings.run()

        def test_skip(interleavings):
            interleavings.client(lambda db: [db.add("n"), pytest.skip("not here")])
            interleavings.run()
        """
    )
    result = run(pytester)
    result.assert_outcomes(failed=2, skipped=1)
    result.stdout.fnmatch_lines(["*InterleavingError: check '<lambda>': Failed: not so*"])
    result.stdout.fnmatch_lines(["*InterleavingError: client t1: Failed: not so*"])


def test_a_session_that_does_not_use_it_imports_none_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            assert "mvcc_kv.stress.schedule" not in sys.modules
            assert "mvcc_kv.engine" not in sys.modules
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_the_plugin_is_declared_under_its_own_name() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    assert f'[project.entry-points.pytest11]\n"{PLUGIN}" = "{PLUGIN}"\n' in declared


# The document


_BLOCK = re.compile(r"^```(?P<kind>python|text)\n(?P<text>.*?)^```$", re.M | re.S)


def section() -> str:
    found = re.search(r"^## Testing your own transactions\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.M | re.S)
    assert found is not None
    return found[1]


def blocks(kind: str) -> list[str]:
    return [block["text"] for block in _BLOCK.finditer(section()) if block["kind"] == kind]


def test_the_document_shows_what_is_printed(pytester: pytest.Pytester) -> None:
    naive, *_ = blocks("python")
    (shown,) = blocks("text")
    pytester.makepyfile(test_accounts=naive)
    printed = run(pytester).stdout.str()
    told = [line.removeprefix("E").strip() for line in printed.splitlines() if line.startswith("E ")]
    assert [line for line in told if line][-len(_lines(shown)) :] == _lines(shown)


def test_the_documents_correction_passes(pytester: pytest.Pytester) -> None:
    naive, corrected, *others = blocks("python")
    test = naive[naive.index("def test_") :]
    pytester.makepyfile(test_accounts="\n".join([corrected, test, *others]))
    run(pytester).assert_outcomes(passed=1 + len(others))


def _lines(shown: str) -> list[str]:
    return [line.strip() for line in shown.splitlines() if line.strip()]
