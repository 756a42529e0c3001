"""Answers of the API server are asked for once, shared, remembered for their time and no longer (A3, A4)."""

from __future__ import annotations

import asyncio

import pytest

from vk_provider.errors import KubeUnavailable
from vk_provider.kubelet.auth import (
    AuthorizationUnavailable,
    ClusterAuthenticator,
    ClusterAuthorizer,
    Credentials,
    Identity,
)

from .world import NODE, Clock, Reviewer, until

BOB = Identity("bob", ("g",), "7", (("k", ("v",)),))
TOKEN = Credentials(authorization="Bearer good")


@pytest.fixture
def review() -> Reviewer:
    return Reviewer(tokens={"good": {"username": "bob"}}, allowed={("bob", "get", "proxy")})


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_good_token_is_reviewed_again_after_two_minutes(review: Reviewer, clock: Clock) -> None:
    authenticator = ClusterAuthenticator(review, clock=clock)
    for passed, reviews in ((0, 1), (119, 1), (1, 2)):
        clock.now += passed
        identity = await authenticator.identify(TOKEN)
        assert identity is not None
        assert (identity.name, review.count("TokenReview")) == ("bob", reviews)


async def test_a_bad_token_is_remembered_briefly(review: Reviewer, clock: Clock) -> None:
    authenticator = ClusterAuthenticator(review, clock=clock)
    for passed, reviews in ((0, 1), (9, 1), (1, 2)):
        clock.now += passed
        assert await authenticator.identify(Credentials(authorization="Bearer bad")) is None
        assert review.count("TokenReview") == reviews


async def test_the_review_holds_the_token_and_nothing_else(review: Reviewer) -> None:
    await ClusterAuthenticator(review).identify(TOKEN)
    assert review.asked == [("TokenReview", {"token": "good"})]


async def test_fifty_at_once_share_one_review(review: Reviewer) -> None:
    review.gate.clear()
    authenticator = ClusterAuthenticator(review)
    asking = [asyncio.create_task(authenticator.identify(TOKEN)) for _ in range(50)]
    await until(lambda: bool(review.asked))
    review.gate.set()
    assert {identity.name for identity in await asyncio.gather(*asking) if identity} == {"bob"}
    assert len(review.asked) == 1


async def test_when_the_one_who_asks_leaves_another_asks(review: Reviewer) -> None:
    review.gate.clear()
    authenticator = ClusterAuthenticator(review)
    first, second, third = [asyncio.create_task(authenticator.identify(TOKEN)) for _ in range(3)]
    await until(lambda: bool(review.asked))
    first.cancel()
    await until(lambda: len(review.asked) == 2)
    review.gate.set()
    assert [identity and identity.name for identity in await asyncio.gather(second, third)] == ["bob", "bob"]
    assert first.cancelled()
    assert len(review.asked) == 2


async def test_one_who_waits_may_leave_without_harm(review: Reviewer) -> None:
    review.gate.clear()
    authenticator = ClusterAuthenticator(review)
    first, second = [asyncio.create_task(authenticator.identify(TOKEN)) for _ in range(2)]
    await until(lambda: bool(review.asked))
    second.cancel()
    await asyncio.wait([second])
    review.gate.set()
    identity = await first
    assert identity is not None
    assert len(review.asked) == 1


async def test_what_is_remembered_is_bounded(review: Reviewer) -> None:
    authenticator = ClusterAuthenticator(review, most=2)
    for token in ("a", "b", "a", "c", "a", "b"):  # c drives out b, since a was used later
        await authenticator.identify(Credentials(authorization=f"Bearer {token}"))
    assert [spec["token"] for _, spec in review.asked] == ["a", "b", "c", "b"]


async def test_no_answer_refuses_now_and_asks_again_next_time(review: Reviewer, clock: Clock) -> None:
    authenticator = ClusterAuthenticator(review, clock=clock)
    review.failure = KubeUnavailable("no answer")
    assert await authenticator.identify(TOKEN) is None
    review.failure = None
    assert await authenticator.identify(TOKEN) is not None


async def test_access_review_says_who_wants_what(review: Reviewer) -> None:
    assert await ClusterAuthorizer(review, node_name=NODE).allows(BOB, "get", ["proxy"])
    assert review.asked == [
        (
            "SubjectAccessReview",
            {
                "user": "bob",
                "groups": ["g"],
                "uid": "7",
                "extra": {"k": ["v"]},
                "resourceAttributes": {
                    "group": "",
                    "version": "v1",
                    "resource": "nodes",
                    "subresource": "proxy",
                    "name": NODE,
                    "verb": "get",
                },
            },
        )
    ]


async def test_the_finest_is_asked_first_and_any_yes_wins(review: Reviewer) -> None:
    authorizer = ClusterAuthorizer(review, node_name=NODE)
    assert await authorizer.allows(BOB, "get", ["pods", "proxy"])
    assert [spec["resourceAttributes"]["subresource"] for _, spec in review.asked] == ["pods", "proxy"]
    assert not await authorizer.allows(BOB, "create", ["pods", "proxy"])


async def test_after_a_yes_nothing_more_is_asked(review: Reviewer) -> None:
    review.allowed = {("bob", "get", "pods")}
    assert await ClusterAuthorizer(review, node_name=NODE).allows(BOB, "get", ["pods", "proxy"])
    assert len(review.asked) == 1


@pytest.mark.parametrize(("verb", "allowed", "lifetime_s"), [("get", True, 300), ("create", False, 30)])
async def test_yes_lasts_five_minutes_and_no_half_a_minute(
    review: Reviewer, clock: Clock, verb: str, allowed: bool, lifetime_s: int
) -> None:
    authorizer = ClusterAuthorizer(review, node_name=NODE, clock=clock)
    for passed, reviews in ((0, 1), (lifetime_s - 1, 1), (1, 2)):
        clock.now += passed
        assert await authorizer.allows(BOB, verb, ["proxy"]) is allowed
        assert len(review.asked) == reviews


async def test_no_answer_is_neither_yes_nor_no(review: Reviewer) -> None:
    authorizer = ClusterAuthorizer(review, node_name=NODE)
    review.failure = KubeUnavailable("no answer")
    with pytest.raises(AuthorizationUnavailable):
        await authorizer.allows(BOB, "get", ["proxy"])
    review.failure = None
    assert await authorizer.allows(BOB, "get", ["proxy"])


async def test_callers_of_one_name_but_other_groups_are_asked_apart(review: Reviewer) -> None:
    authorizer = ClusterAuthorizer(review, node_name=NODE)
    for groups in (("a",), ("b",)):
        await authorizer.allows(Identity("bob", groups), "get", ["proxy"])
    assert len(review.asked) == 2
