"""Pods, objects and answers that somebody means harm with: as large as an API server stores them, of every shape.

An API server keeps at most about 1.5 MiB of an object and bounds few of its lists, so each shape fills that much with
one thing. Everything is drawn from a seeded die, so that a find can be repeated.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vk_provider.cloud.eci.annotations import TABLE

Json = dict[str, Any]
MOST_BYTES = 1_500_000
SECRET = "s3cr3t-of-the-tenant"  # stands in every Secret, and must stand in no message
NAMESPACE = "team"

ODD_CHARACTERS = ("\n", "\r", "\x1b[31m", "\u2028", "\x85", "\u202e", "\ud800", "\0", "é", "💥")
_PIECES = (
    "$(",
    "$",
    "(",
    ")",
    "$$",
    "$(A)",
    "$(V0)",
    "$(SECRET)",
    "a",
    " ",
    "/",
    "..",
    "'",
    '"',
    "\\",
    "[",
    "]",
    "=",
    ",",
)


def pod(dice: random.Random) -> Json:
    """One shape, of any size; now and then two at once."""
    made = plain()
    shapes = dice.sample(list(SHAPES.values()), dice.choice((1, 1, 1, 2)))
    shapes.sort(key=lambda shape: shape in (nested, kinds))  # what they leave is no longer a pod to be filled
    for shape in shapes[: 1 if shapes[0] in (nested, kinds) else 2]:
        shape(made, dice, size_of(dice))
    return made


def size_of(dice: random.Random) -> int:
    """Bytes that a shape may fill: mostly little, so that limits are met from both sides, and now and then all."""
    return dice.choice((200, 2_000, 20_000, 200_000, MOST_BYTES))


def plain() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": NAMESPACE, "uid": "0-1", "resourceVersion": "7"},
        "spec": {
            "containers": [{"name": "c", "image": "busybox", "env": [_secret_variable("SECRET")]}],
            "restartPolicy": "Always",
        },
        "status": {"phase": "Pending"},
    }


def text(dice: random.Random, size: int) -> str:
    """One piece again and again, or any of them in turn."""
    pieces = (*_PIECES, *ODD_CHARACTERS)
    if dice.random() < 0.6:
        piece = dice.choice(pieces)
        return piece * (size // len(piece.encode(errors="replace")))
    some = "".join(dice.choice(pieces) for _ in range(min(size, 400)))
    return some * max(1, size // len(some.encode(errors="replace")))


def _secret_variable(name: str) -> Json:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "secret", "key": "password"}}}


def _container(made: Json) -> Json:
    found: Json = made["spec"]["containers"][0]
    found.setdefault("env", [])
    return found


def _holder(made: Json, dice: random.Random) -> Json:
    """Any object of it."""
    container = _container(made)
    return dice.choice((made["spec"], made["metadata"], container, *(container.get("env") or ())[:1]))


# --- shapes: each fills about `size` bytes of the pod with one thing --------------------------------------------------


def expansion(made: Json, dice: random.Random, size: int) -> None:
    """Each variable holds the one before it many times over."""
    width = dice.choice((2, 10, 100, 1000))
    chain = [{"name": "V0", "value": "a" * dice.choice((1, 30, 1000))}]
    length = max(2, min(dice.choice((8, 64)), size // (8 * width)))
    chain += [{"name": f"V{number}", "value": f"$(V{number - 1})" * width} for number in range(1, length)]
    last = chain[-1]["name"]
    container = _container(made)
    container["env"] = [*container["env"], *chain]
    match dice.randrange(4):
        case 0:
            container["args"] = [f"$({last})" * dice.choice((1, 10))] * dice.choice((1, 100))
        case 1:
            container["command"] = [f"$({last})$({last})"]
        case 2:
            made["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
            container["volumeMounts"] = [{"name": "v", "mountPath": "/v", "subPathExpr": f"$({last})" * 10}]
        case _:
            pass


def many_expansions(made: Json, dice: random.Random, size: int) -> None:
    """Each of them lawful, all of them together not."""
    container = _container(made)
    container["env"] = [{"name": "V0", "value": "a" * min(size // 2, 60_000)}]
    container["args"] = ["$(V0)"] * (size // 20)


def words(made: Json, dice: random.Random, size: int) -> None:
    container = _container(made)
    match dice.randrange(4):
        case 0:
            container["args"] = [text(dice, size)]
        case 1:
            container["command"] = ["x"] * (size // 4)
        case 2:
            container["env"].append({"name": "A", "value": text(dice, size)})
        case _:
            made["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
            container["volumeMounts"] = [{"name": "v", "mountPath": "/v", "subPathExpr": text(dice, size)}]


def secret_path(made: Json, dice: random.Random, size: int) -> None:
    """A Secret's value where only a path is lawful."""
    made["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    expression = dice.choice(("../$(SECRET)", "$(SECRET)/..", "/$(SECRET)", "a/$(SECRET)", "$(SECRET)" * (size // 10)))
    mount = {"name": "v", "mountPath": "/v", "subPathExpr": expression}
    _container(made)["volumeMounts"] = [mount]
    _container(made)["args"] = [f"--password={expression}"]


def variables(made: Json, dice: random.Random, size: int) -> None:
    one: Callable[[int], Json] = dice.choice(
        (
            lambda n: {"name": f"A{n}"},
            lambda n: {"name": f"A{n}", "value": f"$(A{n - 1})"},
            lambda n: {"name": "A", "value": f"$(A){n}"},
            lambda n: _secret_variable(f"A{n}"),
            lambda n: {"name": f"A{n}", "valueFrom": {"configMapKeyRef": {"name": "big", "key": "k0"}}},
            lambda n: {"name": f"A{n}", "valueFrom": {"configMapKeyRef": {"name": f"m{n}", "key": "k"}}},
            lambda n: {"name": f"A{n}", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a']"}}},
            lambda n: {"name": f"A{n}", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        )
    )
    _container(made)["env"] = [one(number) for number in range(size // len(json.dumps(one(10_000))))]


def sources(made: Json, dice: random.Random, size: int) -> None:
    one: Callable[[int], Json] = dice.choice(
        (
            lambda n: {"prefix": f"P{n}_", "configMapRef": {"name": "big"}},
            lambda n: {"prefix": f"P{n}_", "secretRef": {"name": "big"}},
            lambda n: {"configMapRef": {"name": f"m{n}", "optional": True}},
            lambda n: {"prefix": "-", "configMapRef": {"name": "many"}},
        )
    )
    _container(made)["envFrom"] = [one(number) for number in range(size // 50)]


def containers(made: Json, dice: random.Random, size: int) -> None:
    field = dice.choice(("containers", "initContainers", "sidecars", "ephemeralContainers"))
    extra: Json = {"restartPolicy": "Always"} if field == "sidecars" else {}
    more: Json = dice.choice(
        ({}, {"livenessProbe": {"grpc": {"port": 1}}, "terminationMessagePolicy": "FallbackToLogsOnError"})
    )
    one = {"name": "c-10000", "image": "x", **extra, **more}
    made["spec"]["initContainers" if field == "sidecars" else field] = [
        {**one, "name": f"c-{number}"} for number in range(max(1, size // len(json.dumps(one))))
    ]


_VOLUMES: Sequence[Callable[[int], Json]] = (
    lambda n: {"emptyDir": {}},
    lambda n: {"configMap": {"name": "big"}},
    lambda n: {"configMap": {"name": f"m{n}", "optional": True}},
    lambda n: {"secret": {"secretName": "big"}},
    lambda n: {"nfs": {"server": "10.0.0.1", "path": "/"}},
    lambda n: {"persistentVolumeClaim": {"claimName": f"claim-{n}"}},
    lambda n: {"hostPath": {"path": "/"}},
    lambda n: {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    lambda n: {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.annotations"}}]}},
)


def volumes(made: Json, dice: random.Random, size: int) -> None:
    """All mounted, and now and then by every container."""
    one = dice.choice(_VOLUMES)
    count = max(1, size // (len(json.dumps(one(1000))) + 80))
    made["spec"]["volumes"] = [{"name": f"v-{number}", **one(number)} for number in range(count)]
    _container(made)["volumeMounts"] = [{"name": f"v-{number}", "mountPath": f"/{number}"} for number in range(count)]
    made["metadata"]["annotations"] = {"a": "x" * dice.choice((1, 200_000))}


def mounts(made: Json, dice: random.Random, size: int) -> None:
    made["spec"]["volumes"] = [{"name": "v", **dice.choice(_VOLUMES)(0)}]
    sub: Json = dice.choice(({}, {"subPath": "a/b"}, {"subPathExpr": "$(V0)/$(MISSING)"}, {"subPathExpr": "$(SECRET)"}))
    _container(made)["volumeMounts"] = [{"name": "v", "mountPath": f"/{n}", **sub} for n in range(size // 60)]


def projections(made: Json, dice: random.Random, size: int) -> None:
    one: Callable[[int], Json] = dice.choice(
        (
            lambda n: {"serviceAccountToken": {"path": f"t{n}", "audience": f"a{n}"}},
            lambda n: {"configMap": {"name": "big", "items": [{"key": "k0", "path": f"p{n}"}]}},
            lambda n: {"secret": {"name": "big"}},
            lambda n: {"secret": {"name": f"s{n}", "optional": True}},
            lambda n: {
                "downwardAPI": {"items": [{"path": f"p{n}", "fieldRef": {"fieldPath": "metadata.annotations"}}]}
            },
        )
    )
    _mounted(made, {"projected": {"sources": [one(number) for number in range(max(1, size // 90))]}})
    made["metadata"]["annotations"] = {"a": "\u00e9\n" * dice.choice((1, 50_000))}


def items(made: Json, dice: random.Random, size: int) -> None:
    if dice.random() < 0.5:
        found = [{"key": f"k{n % 50}", "path": f"p{n}"} for n in range(size // 40)]
        _mounted(
            made,
            dice.choice(
                ({"configMap": {"name": "big", "items": found}}, {"secret": {"secretName": "big", "items": found}})
            ),
        )
        return
    keys = [f"a{n}" for n in range(min(size // 100, 5000))]
    made["metadata"]["annotations"] = dict.fromkeys(keys, "v" * 20)
    refs = [{"path": key, "fieldRef": {"fieldPath": f"metadata.annotations['{key}']"}} for key in keys]
    _mounted(made, {"downwardAPI": {"items": refs}})


def _mounted(made: Json, source: Json) -> None:
    made["spec"]["volumes"] = [{"name": "v", **source}]
    _container(made)["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]


def ports(made: Json, dice: random.Random, size: int) -> None:
    container = _container(made)
    container["ports"] = [{"name": f"p{n}", "containerPort": n % 65535 + 1} for n in range(size // 45)]
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        container[kind] = {"httpGet": {"port": f"p{len(container['ports'])}", "path": text(dice, 100)}}


def network(made: Json, dice: random.Random, size: int) -> None:
    match dice.randrange(4):
        case 0:
            made["spec"]["hostAliases"] = [{"ip": "10.0.0.1", "hostnames": ["a"]} for _ in range(size // 45)]
        case 1:
            made["spec"]["hostAliases"] = [{"ip": "10.0.0.1", "hostnames": ["a"] * (size // 5)}]
        case 2:
            made["spec"]["dnsPolicy"] = "None"
            made["spec"]["dnsConfig"] = {
                "nameservers": ["1.1.1.1"] * (size // 12),
                "searches": [f"s{n}.example.com" for n in range(size // 60)],
                "options": [{"name": f"o{n}"} for n in range(size // 60)],
            }
        case _:
            made["spec"]["hostAliases"] = [{"ip": text(dice, size), "hostnames": ["a"]}]


def metadata(made: Json, dice: random.Random, size: int) -> None:
    match dice.randrange(4):
        case 0:
            made["metadata"]["annotations"] = {f"k8s.aliyun.com/eci-unheard-of-{n}": "1" for n in range(size // 45)}
        case 1:
            key = dice.choice(sorted(TABLE))
            made["metadata"]["annotations"] = {key: text(dice, size)}
        case 2:
            made["metadata"]["labels"] = {f"l{n}": "x" for n in range(size // 15)}
        case _:
            listed = dice.choice(
                ("a:b,", "10.0.0.1,", "ecs.c6.large,", "2-4Gi,", '{"host":"a","ip":"10.0.0.1"},', "vsw-a,")
            )
            value = listed * (size // len(listed))
            made["metadata"]["annotations"] = {dice.choice(sorted(TABLE)): dice.choice((value, f"[{value[:-1]}]"))}


def scheduling(made: Json, dice: random.Random, size: int) -> None:
    match dice.randrange(6):
        case 0:
            made["spec"]["tolerations"] = [{"operator": "Exists"}] * (size // 25)
        case 1:
            made["spec"]["readinessGates"] = [{"conditionType": f"t{n}"} for n in range(size // 30)]
        case 2:
            terms = [{"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]}] * (
                size // 80
            )
            required = "requiredDuringSchedulingIgnoredDuringExecution"
            made["spec"]["affinity"] = {"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}
        case 3:
            made["spec"]["nodeSelector"] = {f"k{n}": "v" for n in range(size // 15)}
        case 4:
            made["metadata"]["ownerReferences"] = [
                {"kind": "Job", "name": "j", "uid": f"{n}"} for n in range(size // 50)
            ]
        case _:
            made["metadata"]["managedFields"] = [{"manager": "m"}] * (size // 20)


def security(made: Json, dice: random.Random, size: int) -> None:
    match dice.randrange(3):
        case 0:
            made["spec"]["securityContext"] = {
                "sysctls": [{"name": f"net.a{n}", "value": "1"} for n in range(size // 40)]
            }
        case 1:
            made["spec"]["securityContext"] = {"supplementalGroups": list(range(size // 8))}
        case _:
            _container(made)["securityContext"] = {
                "capabilities": {"add": ["CHOWN"] * (size // 9), "drop": ["ALL"] * 9}
            }


def registries(made: Json, dice: random.Random, size: int) -> None:
    count = size // 30 if dice.random() < 0.5 else 1
    made["spec"]["imagePullSecrets"] = [{"name": f"pull-{n}" if n else "pull"} for n in range(count)]


def images(made: Json, dice: random.Random, size: int) -> None:
    piece = dice.choice(("a", "a-", "-", "a.", "a_", "__", "a/", "A", "0", "a:", "a@", "é", "a\n2026-01-01 forged "))
    _container(made)["image"] = dice.choice(("", "x/", "registry.example.com/")) + piece * (size // len(piece)) + "!"


def quantities(made: Json, dice: random.Random, size: int) -> None:
    value = dice.choice(("1", ".", "e", "1.", "9")) * size + dice.choice(("", "Gi", "x"))
    resource = dice.choice(("cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"))
    match dice.randrange(3):
        case 0:
            _container(made)["resources"] = {"limits": {resource: value}}
        case 1:
            _container(made)["resources"] = {"limits": {f"example.com/card-{n}": "1" for n in range(size // 30)}}
        case _:
            _mounted(made, {"emptyDir": {"sizeLimit": value}})


def probes(made: Json, dice: random.Random, size: int) -> None:
    container = _container(made)
    match dice.randrange(3):
        case 0:
            container["livenessProbe"] = {"exec": {"command": ["x"] * (size // 4)}}
        case 1:
            headers = [{"name": f"h{n}", "value": "x"} for n in range(size // 30)]
            container["readinessProbe"] = {"httpGet": {"port": 1, "httpHeaders": headers}}
        case _:
            container["lifecycle"] = {"preStop": {"exec": {"command": [text(dice, size)]}}}


def names(made: Json, dice: random.Random, size: int) -> None:
    """Where the API server takes short names only, as a manifest for `show` may have any."""
    long = text(dice, size)
    match dice.randrange(5):
        case 0:
            _container(made)["name"] = long
        case 1:
            _container(made)["env"].append({"name": long, "value": "1"})
        case 2:
            made["spec"]["volumes"] = [{"name": long, "configMap": {"name": "absent"}}]
            _container(made)["volumeMounts"] = [{"name": long, "mountPath": "/"}]
        case 3:
            made["spec"][long] = {long: [long]}
        case _:
            made["spec"]["hostname"], made["spec"]["nodeName"] = long, long


def nested(made: Json, dice: random.Random, size: int) -> None:
    """Deeper than a recursion goes. What an API server stores has the depth of its types; a file has any."""
    value: Any = "x"
    for _ in range(min(size, 100_000)):
        value = [value] if dice.random() < 0.5 else {"a": value}
    holder = _holder(made, dice)
    holder[dice.choice(("affinity", "env", "volumes", "labels", "unheard", "valueFrom", "managedFields"))] = value


def kinds(made: Json, dice: random.Random, size: int) -> None:
    """A field of another type than its own."""
    odd = dice.choice((None, True, 0, -1, 2**70, 1e308, float("nan"), "", [], {}, [None], {"": None}, [[]], "x" * size))
    holder = _holder(made, dice)
    holder[dice.choice([*holder, "env", "volumes", "annotations", "resources"])] = odd


SHAPES: Mapping[str, Callable[[Json, random.Random, int], None]] = {
    shape.__name__: shape
    for shape in (
        expansion,
        many_expansions,
        words,
        secret_path,
        variables,
        sources,
        containers,
        volumes,
        mounts,
        projections,
        items,
        ports,
        network,
        metadata,
        scheduling,
        security,
        registries,
        images,
        quantities,
        probes,
        names,
        nested,
        kinds,
    )
}


# --- objects that pods refer to ---------------------------------------------------------------------------------------


def _encoded(value: str | None) -> str | None:
    """As a Secret holds it: null is what the API server writes for nothing."""
    return None if value is None else base64.b64encode(value.encode(errors="replace")).decode()


def big(size: int = 1_000_000, keys: int = 50) -> Json:
    return {f"k{number}": "x" * (size // keys) for number in range(keys)}


def logins(count: int, key: str = "r{}.example.com") -> str:
    return json.dumps({"auths": {key.format(n): {"username": "u", "password": SECRET} for n in range(count)}})


def object_of(kind: str, name: str, data: Json, *, type_: str = "Opaque") -> Json:
    return {"kind": kind, "type": type_, "metadata": {"name": name, "namespace": NAMESPACE, "uid": "o"}, "data": data}


REFERRED: Json = {
    "containers": [
        {
            "name": "c",
            "image": "r1.example.com/a/b",
            "args": ["$(P_k0)$(SECRET)"],
            "env": [
                _secret_variable("SECRET"),
                {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "k0", "optional": True}}},
            ],
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "map"}}, {"secretRef": {"name": "odd"}}],
            "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in ("map", "odd", "all", "claim")],
        }
    ],
    "volumes": [
        {"name": "map", "configMap": {"name": "map"}},
        {"name": "odd", "secret": {"secretName": "odd"}},
        {
            "name": "all",
            "projected": {"sources": [{"configMap": {"name": "map"}}, {"secret": {"name": "odd"}}] * 10},
        },
        {"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}},
    ],
    "imagePullSecrets": [{"name": "pull"}],
}


def objects(dice: random.Random) -> Json:
    """What one pod, `REFERRED`, refers to: ConfigMap, Secrets, a claim with its volume, and Services."""
    size = size_of(dice)
    return {
        "map": object_of("ConfigMap", "map", _entries(dice, size)),
        "odd": object_of("Secret", "odd", {key: _encoded(text) for key, text in _entries(dice, size).items()}),
        "secret": object_of("Secret", "secret", {"password": _encoded(SECRET)}),
        "pull": _pull_secret(dice, size),
        "claim": {
            **object_of("PersistentVolumeClaim", "claim", {}),
            "spec": {"volumeName": "volume"},
            "status": {"phase": "Bound"},
        },
        "volume": _volume(dice, size),
        "services": [
            {
                "metadata": {"namespace": NAMESPACE, "name": f"s{n}"},
                "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "name": f"p{m}"} for m in range(100)]},
            }
            for n in range(min(size // 1_000, 300))
        ],
    }


def _entries(dice: random.Random, size: int) -> Json:
    match dice.randrange(5):
        case 0:
            return {"k0": text(dice, size)}
        case 1:
            return {f"k{number}": "v" for number in range(size // 10)}
        case 2:
            return {f"k.{number}": "v" for number in range(size // 10)}
        case 3:
            return {f"k{number}": "x" * 30_000 for number in range(size // 30_000 + 1)}
        case _:
            return {"k0": None, text(dice, 200): text(dice, 200), "../up": "x"}


def _pull_secret(dice: random.Random, size: int) -> Json:
    match dice.randrange(5):
        case 0:
            content = logins(size // 90)
        case 1:
            content = logins(size // 90, "*a*{}*.*.com")
        case 2:
            content = logins(1, "*a" * (size // 2))
        case 3:
            content = "[" * size
        case _:
            content = logins(1, "r1.example.com/" + text(dice, min(size, 2_000)))
    return object_of("Secret", "pull", {".dockerconfigjson": _encoded(content)}, type_="kubernetes.io/dockerconfigjson")


def _volume(dice: random.Random, size: int) -> Json:
    word = text(dice, min(size, 200_000))
    attributes = dice.choice(({"server": word}, {"server": "s", "options": "a," * (size // 2)}, {"path": word}, {}))
    source = {"driver": "nasplugin.csi.alibabacloud.com", "volumeHandle": "v", "volumeAttributes": attributes}
    return {
        "metadata": {"name": "volume"},
        "spec": {"csi": source, "claimRef": {"uid": "o"}, "mountOptions": ["vers=3"] * dice.choice((0, 1, size // 10))},
    }


# --- what a cloud answers ---------------------------------------------------------------------------------------------


def answer(dice: random.Random, seed: Any) -> Any:
    """A good answer of which one part is a thousand times as large."""
    grown = json.loads(json.dumps(seed))
    size = min(size_of(dice), 200_000)  # what takes longer by the square shows by then
    places = [(holder, key) for holder, key in _within(grown) if isinstance(holder[key], str | list | dict)]
    count = min(len(places), dice.choice((1, 1, 2)))
    for holder, key in dice.sample(places, count):  # one may hold the other
        holder[key] = _grown(dice, holder[key], size if count == 1 else min(size, 400))
    return grown


def _grown(dice: random.Random, value: Any, size: int) -> Any:
    if isinstance(value, str):
        return text(dice, size)
    if isinstance(value, list) and value:
        return value * max(1, size // len(json.dumps(value, default=str)))
    if isinstance(value, dict) and dice.random() < 0.5:
        return {**value, **{f"k{number}": "v" for number in range(size // 12)}}
    nested: Any = value
    for _ in range(min(size, 400)):  # deeper nobody reads JSON
        nested = {"state": nested} if dice.random() < 0.5 else [nested]
    return nested


def _within(value: Any) -> list[tuple[Any, Any]]:
    found, waiting = [], [value]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            found.append((holder, key))
            waiting.append(holder[key])
    return found
