"""What `mvcc-kv stress` refuses before anything is started, and what it doesn't tell."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from mvcc_kv.cli.stress_settings import Settings, TargetOptions, chosen_faults, refuse, weights_of, without_password
from mvcc_kv.stress.nemesis import KINDS
from mvcc_kv.stress.workloads import WORKLOADS


def settings(load: dict[str, Any] | None = None, **target: Any) -> Settings:
    return Settings(workload="bank", shape={}, load=load or {}, target=TargetOptions(**target), seed=1)


@pytest.mark.parametrize("text", ["bank=0,queue=1", "bank=-1", "bank=nan", "bank=inf", "bank=much", "bank="])
def test_a_weight_is_a_finite_number_above_nought(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="a weight is a number above nought: bank=2, not 'bank="):
        weights_of(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "there is no workload ''"), ("bank,", "no workload ''"), ("bank,queue,bank=2", "bank is named twice")],
)
def test_a_workload_is_one_there_is_named_once(text: str, complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        weights_of(text)


def test_workloads_are_weighted_alike_unless_said_otherwise() -> None:
    assert weights_of("bank, queue=0.5") == {"bank": 1.0, "queue": 0.5}
    assert weights_of("all") == dict.fromkeys(WORKLOADS, 1.0)


@pytest.mark.parametrize(
    ("load", "target", "complaint"),
    [
        ({"processes": 2}, {"embedded": True}, "--processes needs a server"),
        ({}, {"in_memory": True, "data_dir": "d"}, "--data-dir and --in-memory exclude each other"),
        ({}, {"url": "h:1", "embedded": True}, "--embedded means nothing with --url"),
        ({}, {"url": "h:1", "in_memory": True}, "--in-memory means nothing with --url"),
        ({}, {"url": "h:1", "data_dir": "d"}, "--data-dir means nothing with --url"),
        ({}, {"url": "h:1", "fsync": "never"}, "--fsync means nothing with --url"),
        ({}, {"url": "h:1", "retain_seconds": 1.0}, "--retain-seconds means nothing with --url"),
        ({}, {"url": "h:1", "serve_options": ("--x",)}, "--serve-option means nothing with --url"),
        ({}, {"embedded": True, "serve_options": ("--x",)}, "--serve-option means nothing with --embedded"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    load: dict[str, Any], target: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        refuse(settings(load, **target))


def test_options_that_go_together_are_not_refused() -> None:
    refuse(settings({"processes": 2}, data_dir="d", fsync="never", retain_seconds=1.0, serve_options=("--x",)))
    refuse(settings(embedded=True, data_dir="d", fsync="never"))
    refuse(settings(url="h:1", password="p"))


@pytest.mark.parametrize(
    ("kind", "target", "complaint"),
    [
        ("nope", {}, f"there is no fault 'nope'; there are {', '.join(KINDS)}, all"),
        ("kill", {"url": "h:1"}, "--url is not ours; those that can: cut, half-open, slow"),
        ("kill", {"embedded": True}, "lives in this process; those that can: restart"),
        ("restart", {"embedded": True, "in_memory": True}, "--in-memory a start finds nothing .* can: none"),
        ("all", {"embedded": True, "in_memory": True}, "those that can: none"),
        ("kill", {"in_memory": True}, "--in-memory a start finds nothing .* can: pause, clock, cut, half-open, slow"),
        ("disk-full", {"in_memory": True}, "and nothing is written"),
        ("power-loss", {"fsync": "never"}, "at --fsync never nobody is owed what was not synced"),
    ],
)
def test_a_fault_that_the_target_cannot_have_is_refused_with_those_it_can(
    kind: str, target: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        chosen_faults((kind,), TargetOptions(**target))


def test_all_faults_are_those_that_break_no_promise() -> None:
    assert chosen_faults(("all",), TargetOptions(in_memory=True)) == ("pause", "clock", "cut", "half-open", "slow")
    assert chosen_faults(("all",), TargetOptions(url="h:1")) == ("cut", "half-open", "slow")
    of_disks = set(chosen_faults(("all",), TargetOptions())) - set(
        chosen_faults(("all",), TargetOptions(fsync="never"))
    )
    assert of_disks == {"power-loss", "sync-error"}


def test_a_fault_named_twice_is_one() -> None:
    assert chosen_faults(("cut", "kill", "cut"), TargetOptions()) == ("cut", "kill")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password", "sec", "--seed", "1"],
        ["--password=sec"],
        ["--serve-option=--password=sec"],
        ["--serve-option", "--password=sec"],
        ["--serve-option=--password", "--serve-option=sec"],
        ["--serve-option", "--password", "--serve-option", "sec", "--quiet"],
        ["--password", "--serve-option", "--password=sec"],
    ],
)
def test_no_password_is_in_the_arguments_that_are_told(arguments: list[str]) -> None:
    told = without_password(arguments)
    assert len(told) == len(arguments) and "sec" not in "".join(told)
    assert "--seed" not in arguments or told[-2:] == ("--seed", "1")


def test_settings_and_their_words_are_without_the_password() -> None:
    asked = settings(password="sec", serve_options=("--password", "sec"))
    assert "sec" not in repr(asked.told()).replace("seconds", "") and "password=" not in repr(asked)
