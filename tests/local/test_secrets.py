"""What a Secret holds reaches the container and nobody else: not a log, an event, a status or an error.

`tests/leaks.py` reads the provider's log and all that the cluster holds of pods, nodes and events afterwards.
"""

import base64

import pytest
import pytest_asyncio

from tests.leaks import leaks, planted
from tests.local.conftest import pod

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = planted("large") * 2000
NO_TEXT = planted("bytes").encode() + b"\xff"


def variable(key):
    return {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": key}}}


def with_env(name, command, *env):
    made = pod(name, command)
    made["spec"]["containers"][0]["env"] = list(env)
    return made


def with_file(name, command, key):
    items = [{"key": key, "path": "key"}]
    made = pod(name, command, volumes=[{"name": "v", "secret": {"secretName": "vault", "items": items}}])
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/vault"}]
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vault(world):
    data = {"plain": planted("plain").encode(), "large": LARGE.encode(), "bytes": NO_TEXT, "url": b"x"}
    encoded = {key: base64.b64encode(content).decode() for key, content in data.items()}
    meta = {"name": "vault", "namespace": "vk"}
    # created, since `kubectl apply` would write the values into an annotation
    await world.api.create(
        "/api/v1/namespaces/vk/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded}
    )
    return world


async def described(world, name):
    events = await world.kubectl("-n", "vk", "get", "events", "-o", "yaml")
    return events + await world.kubectl("-n", "vk", "describe", "pod", name)


async def test_a_container_has_it_as_variable_and_word_and_file(vault):
    expanded = {"name": "URL", "value": "db://me:$(KEY)@db"}
    made = with_env(
        "holds", 'test -n "$KEY" && test "$URL" = "db://me:$KEY@db" && sleep 600', variable("plain"), expanded
    )
    made["spec"]["containers"][0]["args"] = ["--key=$(KEY)"]
    await vault.apply(made, with_file("files", f'test "$(cat /vault/key)" = "{planted("plain")}"', "plain"))
    await vault.phase("holds", "Running")
    await vault.phase("files", "Succeeded")
    told = await vault.kubectl("-n", "vk", "exec", "holds", "--", "sh", "-c", 'test -n "$KEY" && echo there')
    assert told == "there\n"
    assert leaks(await described(vault, "holds")) == []


@pytest.mark.parametrize(
    ("made", "part"),
    [
        pytest.param(
            with_env("lacks", "true", variable("none")), "couldn't find key none in Secret vk/vault", id="key"
        ),
        pytest.param(with_env("binary", "true", variable("bytes")), "is not text", id="no text"),
        pytest.param(with_file("vast", "true", "large"), "ECI takes at most 32768 a file", id="too large"),
    ],
)
async def test_what_goes_wrong_is_told_without_it(vault, made, part):
    await vault.apply(made)
    name = made["metadata"]["name"]

    async def told():
        text = await described(vault, name)
        return text if part in text else None

    assert leaks(await vault.until(told, within_s=90, what=f"{name} says {part}")) == []


async def test_a_cloud_that_refuses_does_not_bring_it_out(vault):
    rule = {"kind": "error", "action": "CreateContainerGroup", "code": "InvalidParameter", "http_status": 400}
    await vault.cloud("faults", "POST", rule)
    await vault.apply(with_env("unlucky", "true", variable("plain")))
    await vault.phase("unlucky", "Failed")
    assert leaks(await described(vault, "unlucky")) == []
