"""A handful of cases in every run of the tests; `make oracle` plays them all."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.oracle import case, compare, explained, stage
from tests.oracle.case import Case
from tests.oracle.player import Player

PLAYED = ("deleted-crash-loop", "exit-1", "init-deleted", "job-complete", "pre-stop-sleep", "refused-selector")


def test_what_a_real_kubelet_does_we_do(tmp_path):
    with stage.local(tmp_path) as where, ThreadPoolExecutor(len(PLAYED)) as pool:

        def play(each: Case) -> list[compare.Difference]:
            records = json.loads((case.RECORDS / f"{each.name}.json").read_text())["runs"]
            player = Player(where.client, each, node=where.node, namespace=each.name, placed=where.placed)
            return compare.differences(each.name, records, player.play())

        chosen = [case.load(case.CASES / f"{name}.yaml") for name in PLAYED]
        found = [difference for differences in pool.map(play, chosen) for difference in differences]
    assert compare.is_alike(found), found
    assert explained.judge(found, explained.load(), played=PLAYED).unexplained == []
