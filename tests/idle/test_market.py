"""How deep the spot market is thought to be."""

import pytest

from vk_provider.idle.market import STALE_S, Depth, Poll, SpotPrice, Stock

IN_STOCK = {"a": Stock.WITH, "b": Stock.WITHOUT}


def polled(depth, at_s, stock=IN_STOCK, prices=None):
    depth.poll(Poll(at_s, stock, {"a": SpotPrice(0.3, 1.0), "b": SpotPrice(0.1, 1.0)} if prices is None else prices))
    return depth


def test_little_is_assumed_at_first():
    assert polled(Depth(), 0).cpu(0) == 16


def test_each_minute_with_a_success_adds_a_step():
    depth = polled(Depth(), 0)
    depth.created(0, 4)
    assert depth.cpu(59) == 12
    assert polled(depth, 60).cpu(60) == 20
    assert polled(depth, 120).cpu(120) == 20  # nobody has bought since
    depth.created(121, 4)
    assert polled(depth, 180).cpu(180) == 24


def test_a_refusal_halves_it_and_a_while_later_one_is_tried_again():
    depth = polled(Depth(), 0)
    for second in range(10):
        depth.refused(second)
    assert depth.cpu(9) < 0.1
    assert polled(depth, 70).cpu(70) == pytest.approx(8, abs=0.1)
    assert polled(depth, 240).cpu(240) == 16
    assert polled(depth, 900).cpu(900) == 16


def test_what_we_release_can_be_bought_again():
    depth = polled(Depth(), 0)
    depth.created(0, 8)
    depth.released(8)
    assert depth.cpu(1) == 16


@pytest.mark.parametrize(
    ("stock", "prices", "words"),
    [
        ({"a": Stock.WITHOUT, "b": Stock.CLOSED_WITH, "c": Stock.CLOSED_WITHOUT}, None, "no zone has"),
        ({}, None, "no zone has"),
        ({"a": Stock.WITH}, {"a": SpotPrice(1.2, 1.0)}, "spot costs 1.20 times"),
        ({"a": Stock.WITH}, {"b": SpotPrice(0.1, 1.0)}, "price is not known"),
        ({"a": Stock.WITH}, {"a": SpotPrice(0.1, 0.0)}, "spot costs inf times"),
    ],
)
def test_closed(stock, prices, words):
    depth = polled(Depth(), 0, stock, prices)
    assert words in depth.why_closed(0)
    assert depth.cpu(0) == 0


def test_a_price_in_another_zone_counts_only_where_there_is_stock():
    dear_and_cheap = {"a": SpotPrice(2.0, 1.0), "b": SpotPrice(0.1, 1.0)}
    assert polled(Depth(), 0, {"a": Stock.WITH, "b": Stock.WITHOUT}, dear_and_cheap).cpu(0) == 0
    assert polled(Depth(), 0, {"a": Stock.WITH, "b": Stock.WITH}, dear_and_cheap).cpu(0) == 16


def test_without_a_limit_no_price_is_needed():
    assert polled(Depth(most_ratio=None), 0, IN_STOCK, {}).cpu(0) == 16


def test_polls_that_stop_close_the_market_and_the_pause_adds_nothing():
    depth = polled(Depth(), 0)
    depth.created(0, 16)
    assert depth.cpu(STALE_S) > 0
    assert depth.cpu(STALE_S + 1) == 0
    before = polled(depth, 1_000).cpu(1_000)
    assert before < 40
    assert polled(Depth(), 500).cpu(0) == 0  # a poll of the future is none


def test_a_clock_that_is_moved_back_stops_no_growth():
    depth = polled(Depth(), 100_000)
    depth.created(100_000, 4)
    depth.cpu(100_000)
    assert polled(depth, 0).cpu(0) >= 12
    depth.created(1, 4)
    assert polled(depth, 61).cpu(61) > polled(depth, 2).cpu(2) - 1
