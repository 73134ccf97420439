"""A run as a whole: what it says when the target is gone before the end."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from mvcc_kv.cli.stress_wiring import Connector
from mvcc_kv.errors import UnavailableError
from mvcc_kv.stress.feed import FeedFollower
from mvcc_kv.stress.judging import judge
from mvcc_kv.stress.mixture import Mixture
from mvcc_kv.stress.report import write_report
from mvcc_kv.stress.runner import Load, Progress, run
from mvcc_kv.stress.target import RemoteTarget
from mvcc_kv.stress.verdict import Expected, summarize
from mvcc_kv.stress.workloads import Bank, ListAppend
from tests.contract.serving import serving

connect_to = partial(Connector, password=None, timeout_s=1.0, commit_timeout_s=0.0)
WORK = Mixture((ListAppend(prefix="list/"), Bank(prefix="bank/")), (1.0, 1.0))


@pytest.mark.parametrize("has_feed", [False, True], ids=["without a feed", "with a feed"])
def test_a_server_that_goes_away_leaves_a_history_a_report_and_no_verdict(tmp_path: Path, has_feed: bool) -> None:
    with ExitStack() as server:
        address = server.enter_context(serving(max_transaction_bytes=1 << 20, stop_grace_s=0.0))
        target = RemoteTarget(address, connect_to(address))

        def go_away(progress: Progress) -> None:
            if progress.outcomes.get("ok", 0) > 10:
                server.close()

        load = Load(seconds=0.8, clients=4)
        feed = FeedFollower(target.connect, prefix="", seed=1, is_kept=False) if has_feed else None
        done = run(WORK, target, load, feed=feed, on_tick=go_away, come_back_s=0.0)
    summary = summarize(done, WORK, load, Expected(commits=1, conflicts=0), judge)
    assert (summary.status, summary.exit_status, summary.violations) == ("invalid", 2, [])
    assert any("nobody could look at the end" in reason and address in reason for reason in summary.reasons)
    assert summary.commits > 10 and summary.judged[0]["transactions"] > 0
    write_report(tmp_path, summary, done, settings={}, parts=WORK.parts)
    assert (tmp_path / "history.jsonl").read_bytes().count(b"\n") == len(done.events)


def test_a_server_that_was_never_there_is_no_run() -> None:
    with pytest.raises(UnavailableError, match="can't connect"):
        run(WORK, RemoteTarget("127.0.0.1:1", connect_to("127.0.0.1:1")), Load())
