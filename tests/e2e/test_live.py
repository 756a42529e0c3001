"""Files of running containers follow their ConfigMaps, Secrets and labels, and tokens are renewed before they end."""

import base64
import json
import os
import re
import time
from collections.abc import Callable

import yaml

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, within
from tests.e2e.manifests import Json, pod
from tests.e2e.provider import Provider

PROMISED_S = 90.0
NOTE = "virtual-kubelet.io/live-content"
SHOWS: Json = {
    "volumes": [
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "o", "configMap": {"name": "later", "optional": True}},
        {
            "name": "l",
            "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.labels['x']"}}]},
        },
    ],
    "container": {
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "a"}}}],
        "volumeMounts": [
            {"name": "c", "mountPath": "/c"},
            {"name": "c", "mountPath": "/single", "subPath": "a"},
            {"name": "s", "mountPath": "/s"},
            {"name": "o", "mountPath": "/o"},
            {"name": "l", "mountPath": "/l"},
        ],
    },
}
TELLS = 'while :; do echo "$(ls /c) $(cat /c/a) $(cat /s/a) $(cat /l/x) $(ls /o) $(cat /single) $A"; sleep 0.2; done'


def test_changes_arrive_in_the_running_container(space: Space, cloud: Cloud, node: str) -> None:
    space.create(
        {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "c1"}},
        {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "s1"}},
        pod("p", TELLS, node=node, labels={"x": "l1"}, **SHOWS),
    )
    space.when_ready("p")

    def shows(words: str) -> Callable[[], bool]:
        return lambda: words in space.kubectl("logs", "p", "--tail=2").splitlines()

    def last() -> str:
        return space.kubectl("logs", "p", "--tail=3")

    within(20, shows("a c1 s1 l1  c1 c1"), last)
    space.cluster.merge(space.path("ConfigMap", "c"), {"data": {"a": "c2"}})
    space.cluster.merge(space.path("Secret", "s"), {"data": {"a": base64.b64encode(b"s2").decode()}})
    space.cluster.merge(space.path("Pod", "p"), {"metadata": {"labels": {"x": "l2"}}})
    space.create({"kind": "ConfigMap", "metadata": {"name": "later"}, "data": {"late": ""}})
    within(PROMISED_S, shows("a c2 s2 l2 late c1 c1"), last)
    shown = space.get("Pod", "p")
    assert (shown["status"]["phase"], shown["status"]["containerStatuses"][0]["restartCount"]) == ("Running", 0)
    calls = [each for each in cloud.journal() if each.get("action") == "UpdateContainerGroup"]
    assert len([each for each in calls if each["id"] == cloud.of_pod(shown)["id"]]) <= 2, "not each change by itself"


CALLS = """
import json, os, ssl, sys, time, urllib.request, urllib.error, base64
trust = ssl.create_default_context(cafile="/t/ca.crt")
while True:
    token = open("/t/token").read()
    claims = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    ask = urllib.request.Request(os.environ["API"] + "/api", headers={"Authorization": "Bearer " + token})
    try:
        code = urllib.request.urlopen(ask, context=trust, timeout=5).status
    except urllib.error.HTTPError as error:
        code = error.code
    print(code, claims["iat"], claims["exp"], int(time.time()), flush=True)
    time.sleep(0.5)
"""
SAID = re.compile(r"^(\d+) (\d+) (\d+) (\d+)$")


def caller(cluster: Cluster, space: Space, node: str) -> Json:
    """A pod that keeps calling the API with the ten-minute token from its file."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(config["certificate-authority-data"]).decode()
    space.create({"kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": authority}})
    sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}, {"configMap": {"name": "ca"}}]
    container = {
        "image": "python",
        "command": ["python3", "-c", CALLS],
        "env": [{"name": "API", "value": config["server"].replace("127.0.0.1", cluster.address)}],
        "volumeMounts": [{"name": "t", "mountPath": "/t"}],
    }
    return pod("p", node=node, volumes=[{"name": "t", "projected": {"sources": sources}}], container=container)


def said(space: Space) -> list[tuple[int, ...]]:
    """code, issued, ends, now: of every call so far."""
    lines = space.kubectl("logs", "p").splitlines()
    return [tuple(map(int, match.groups())) for line in lines if (match := SAID.match(line))]


def test_a_token_whose_time_has_come_is_replaced_under_a_running_process(
    cluster: Cluster, space: Space, own: Provider
) -> None:
    """The provider comes back and finds noted on the pod that its token is old: no other clock is turned."""
    space.create(caller(cluster, space, own.node))
    space.when_ready("p")
    within(20, lambda: said(space), lambda: space.kubectl("logs", "p"))
    noted = space.when("Pod", "p", lambda each: NOTE in each["metadata"]["annotations"])
    note = json.loads(noted["metadata"]["annotations"][NOTE])
    own.process.stop()
    note["renewTokensAt"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    cluster.merge(space.path("Pod", "p"), {"metadata": {"annotations": {NOTE: json.dumps(note)}}})
    own.start()
    within(PROMISED_S, lambda: len({ends for _, _, ends, _ in said(space)}) == 2, lambda: said(space)[-3:])
    assert {code for code, *_ in said(space)} == {200}
    after = space.when("Pod", "p", lambda each: json.loads(each["metadata"]["annotations"][NOTE]) != note)
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


if os.environ.get("VK_E2E_LONG"):  # eleven minutes: for a nightly run

    def test_a_ten_minute_token_is_replaced_before_it_ends(cluster: Cluster, space: Space, node: str) -> None:
        space.create(caller(cluster, space, node))
        space.when_ready("p")
        within(20, lambda: said(space), lambda: space.kubectl("logs", "p"))
        _, issued, ends, _ = said(space)[0]
        within(900, lambda: said(space)[-1][3] > ends + 30, lambda: said(space)[-3:])
        calls = said(space)
        assert {code for code, *_ in calls} == {200}
        (renewed,) = {each[1] for each in calls} - {issued}
        assert 480 <= renewed - issued <= 500
        print(f"renewed at the age of {renewed - issued} s; {len(calls)} calls, all answered")  # noqa: T201
