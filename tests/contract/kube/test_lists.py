"""Lists: order, pages, selectors; and watches: from where, what they tell, how they end."""

from urllib.parse import quote

import pytest

from tests.contract.kube.client import MERGE, Client, config_map, pod


def fill(client: Client, core: str, count: int) -> None:
    for index in range(count):
        body = config_map(f"c{index}")
        body["metadata"]["labels"] = {"n": str(index), "parity": "even" if index % 2 == 0 else "odd"}
        client.create(f"{core}/configmaps", body)


def names(body: dict) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"] if item["metadata"]["name"] != "kube-root-ca.crt"]


def test_items_say_neither_kind_nor_version(client: Client, core: str) -> None:
    fill(client, core, 2)
    body = client.get(f"{core}/configmaps").body
    assert (body["kind"], body["apiVersion"]) == ("ConfigMapList", "v1")
    assert all("kind" not in item and "apiVersion" not in item for item in body["items"])
    assert names(body) == ["c0", "c1"]


def test_pages_show_one_moment(client: Client, core: str) -> None:
    fill(client, core, 5)
    url = f"{core}/configmaps?limit=2&labelSelector=n"
    page = client.get(url).body
    version, seen = page["metadata"]["resourceVersion"], names(page)
    client.create(f"{core}/configmaps", config_map("c9"))
    client.delete(f"{core}/configmaps/c4")
    while token := page["metadata"].get("continue"):
        page = client.get(f"{url}&continue={quote(token)}").body
        assert page["metadata"]["resourceVersion"] == version
        assert len(page["items"]) <= 2
        seen += names(page)
    assert seen == ["c0", "c1", "c2", "c3", "c4"]


def test_remaining_items_are_counted(client: Client, core: str) -> None:
    for name in ("a", "b", "c"):
        client.create(f"{core}/secrets", {"metadata": {"name": name, "labels": {"x": "y"}}})
    total = len(client.get(f"{core}/secrets").body["items"])
    assert client.get(f"{core}/secrets?limit=1").body["metadata"]["remainingItemCount"] == total - 1


@pytest.mark.parametrize("token", ["nonsense", "e30"])
def test_bad_continue_token(client: Client, core: str, token: str) -> None:
    assert client.get(f"{core}/configmaps?limit=1&continue={token}").status == 400


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("parity=even", ["c0", "c2"]),
        ("parity==odd", ["c1", "c3"]),
        ("parity!=odd,n", ["c0", "c2"]),
        ("n in (1,2)", ["c1", "c2"]),
        ("n notin (1,2),parity", ["c0", "c3"]),
        ("n,!zzz", ["c0", "c1", "c2", "c3"]),
        ("n>1", ["c2", "c3"]),
        ("n<1", ["c0"]),
        ("parity=", []),
    ],
)
def test_label_selectors(client: Client, core: str, selector: str, expected: list[str]) -> None:
    fill(client, core, 4)
    assert names(client.get(f"{core}/configmaps?labelSelector={quote(selector)}").body) == expected


@pytest.mark.parametrize("selector", ["a in b", "a=b=c", "=x", "a b", "n>x", "a/b/c=d"])
def test_bad_label_selectors(client: Client, core: str, selector: str) -> None:
    assert client.get(f"{core}/configmaps?labelSelector={quote(selector)}").status == 400


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("spec.nodeName=n1", ["b"]),
        ("spec.nodeName=", ["a"]),
        ("spec.nodeName!=n1", ["a"]),
        ("metadata.name=a", ["a"]),
        ("metadata.name!=a,status.phase=Pending", ["b"]),
        ("spec.restartPolicy=Never", ["b"]),
        ("status.phase=Running", []),
        ("metadata.namespace==default", []),
    ],
)
def test_field_selectors(client: Client, core: str, selector: str, expected: list[str]) -> None:
    client.create(f"{core}/pods", pod("a"))
    client.create(f"{core}/pods", pod("b", nodeName="n1", restartPolicy="Never"))
    assert names(client.get(f"{core}/pods?fieldSelector={quote(selector)}").body) == expected


@pytest.mark.parametrize("selector", ["spec.containers=x", "nonsense", "metadata.uid=1"])
def test_bad_field_selectors(client: Client, core: str, selector: str) -> None:
    assert client.get(f"{core}/pods?fieldSelector={quote(selector)}").status == 400


def test_watch_tells_what_happened_since(client: Client, core: str) -> None:
    version = client.get(f"{core}/configmaps").body["metadata"]["resourceVersion"]
    client.create(f"{core}/configmaps", config_map(a="1"))
    client.patch(f"{core}/configmaps/c", {"data": {"a": "2"}}, MERGE)
    client.delete(f"{core}/configmaps/c")
    stream = client.watch(f"{core}/configmaps?resourceVersion={version}&fieldSelector=metadata.name%3Dc")
    events = [next(stream) for _ in range(3)]
    assert [kind for kind, _ in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in events]
    assert versions == sorted(set(versions))
    assert events[2][1]["data"] == {"a": "2"}
    assert all(obj["kind"] == "ConfigMap" and obj["apiVersion"] == "v1" for _, obj in events)
    stream.close()


@pytest.mark.parametrize("version", ["", "0"])
def test_watch_from_nothing_begins_with_what_is(client: Client, core: str, version: str) -> None:
    client.create(f"{core}/configmaps", config_map())
    stream = client.watch(f"{core}/configmaps?resourceVersion={version}&fieldSelector=metadata.name%3Dc")
    kind, obj = next(stream)
    assert (kind, obj["metadata"]["name"]) == ("ADDED", "c")
    stream.close()


def test_watch_of_one_object_by_name(client: Client, core: str) -> None:
    fill(client, core, 2)
    stream = client.watch(f"{core.replace('/v1/', '/v1/watch/')}/configmaps/c1?resourceVersion=0")
    assert next(stream)[1]["metadata"]["name"] == "c1"
    stream.close()
    assert client.get(f"{core}/configmaps/c1?watch=true").body["kind"] == "ConfigMap"


def test_watch_translates_what_its_selector_sees(client: Client, core: str) -> None:
    body = config_map()
    version = client.create(f"{core}/configmaps", body).body["metadata"]["resourceVersion"]
    for value in ("in", "in2", "out"):
        patch = {"metadata": {"labels": {"mark": value[:2] if value != "in2" else "in"}}, "data": {"v": value}}
        client.patch(f"{core}/configmaps/c", patch, MERGE)
    stream = client.watch(f"{core}/configmaps?resourceVersion={version}&labelSelector=mark%3Din")
    events = [next(stream) for _ in range(3)]
    assert [kind for kind, _ in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[2][1]["data"]["v"] == "in2"  # the last state that matched
    now = client.get(f"{core}/configmaps/c").body["metadata"]["resourceVersion"]
    assert events[2][1]["metadata"]["resourceVersion"] == now
    stream.close()


def test_pod_comes_to_a_watcher_when_bound(client: Client, core: str, node: str) -> None:
    version = client.create(f"{core}/pods", pod()).body["metadata"]["resourceVersion"]
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}}
    assert client.create(f"{core}/pods/p/binding", binding).status == 201
    stream = client.watch(f"{core}/pods?resourceVersion={version}&fieldSelector=spec.nodeName%3D{node}")
    kind, obj = next(stream)
    assert (kind, obj["spec"]["nodeName"]) == ("ADDED", node)
    stream.close()


def test_watch_ends_when_its_time_is_up_with_a_bookmark(client: Client, core: str) -> None:
    version = client.create(f"{core}/configmaps", config_map()).body["metadata"]["resourceVersion"]
    path = f"{core}/configmaps?resourceVersion={version}&allowWatchBookmarks=true"
    events = list(client.watch(path, seconds=4))
    bookmarks = [obj for kind, obj in events if kind == "BOOKMARK"]
    assert bookmarks
    assert int(bookmarks[-1]["metadata"]["resourceVersion"]) >= int(version)
    assert bookmarks[-1]["kind"] == "ConfigMap"


@pytest.mark.parametrize("version", ["x", "-1"])
def test_watch_from_a_bad_version(client: Client, core: str, version: str) -> None:
    assert client.get(f"{core}/configmaps?watch=true&timeoutSeconds=1&resourceVersion={version}").status == 500


def test_table(client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    body = client.get(f"{core}/pods", Accept=accept).body
    assert (body["kind"], body["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    columns = [(column["name"], column["priority"]) for column in body["columnDefinitions"]]
    assert columns == [
        ("Name", 0),
        ("Ready", 0),
        ("Status", 0),
        ("Restarts", 0),
        ("Age", 0),
        ("IP", 1),
        ("Node", 1),
        ("Nominated Node", 1),
        ("Readiness Gates", 1),
    ]
    row = body["rows"][0]
    assert row["cells"][:3] == ["p", "0/1", "Pending"]
    assert row["cells"][5:] == ["<none>"] * 4
    assert row["object"]["kind"] == "PartialObjectMetadata"


def test_table_watch_says_its_columns_once(client: Client, core: str) -> None:
    fill(client, core, 2)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    stream = client.watch(f"{core}/configmaps?labelSelector=n", Accept=accept)
    first, second = next(stream)[1], next(stream)[1]
    assert first["columnDefinitions"]
    assert not second["columnDefinitions"]
    assert {obj["rows"][0]["cells"][0] for obj in (first, second)} == {"c0", "c1"}
    stream.close()


def test_metadata_only(client: Client, core: str) -> None:
    fill(client, core, 1)
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    body = client.get(f"{core}/configmaps?labelSelector=n", Accept=accept).body
    assert body["kind"] == "PartialObjectMetadataList"
    assert set(body["items"][0]) <= {"kind", "apiVersion", "metadata"}


def test_unacceptable_form(client: Client, core: str) -> None:
    assert client.get(f"{core}/configmaps", Accept="text/html").status == 406
