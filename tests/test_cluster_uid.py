"""Who we are: read before anything is done in the cloud, and waited for as long as it takes."""

import asyncio

import pytest

from tests.control.pure_time import play
from vk_provider.cluster import cluster_uid
from vk_provider.errors import ConfigError, KubeError, KubeUnavailable, NotFound

NAMED = {"metadata": {"name": "kube-system", "uid": "5d7c"}}


class ApiServer:
    server = "https://api"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def get(self, path):
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def found(server):
    return await cluster_uid(server), asyncio.get_running_loop().time()


def test_the_uid_of_kube_system():
    server = ApiServer(NAMED)
    assert play(found(server)) == ("5d7c", 0.0)
    assert server.asked == ["/api/v1/namespaces/kube-system"]


@pytest.mark.parametrize(
    "answer",
    [
        KubeUnavailable("no answer"),
        KubeUnavailable("starting", status=503),
        KubeError("RBAC is not loaded yet", status=403),
        NotFound("not made yet", status=404),
        {},
        {"metadata": None},
        {"metadata": ["uid"]},
        {"metadata": {"uid": ""}},
        {"metadata": {"uid": 7}},
    ],
)
def test_without_one_nothing_begins(answer):
    assert play(found(ApiServer(answer, answer, answer, NAMED))) == ("5d7c", 6.0)


@pytest.mark.parametrize(
    ("status", "tries", "words"),
    [(401, 1, "does not know us"), (403, 11, "may not get the namespace kube-system")],
)
def test_a_right_that_is_missing_is_named(status, tries, words):
    server = ApiServer(*[KubeError("no", status=status)] * tries)
    with pytest.raises(ConfigError, match=words):
        play(found(server))
    assert not server.answers
