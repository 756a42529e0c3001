"""Logins for registries: how pull secrets are read, which of them an image gets, and names of images (S30, S31)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_cases import CONTEXT

from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import PodNotReady
from vk_provider.model.workload import Notice, RegistryCredential, Workload
from vk_provider.translate import images
from vk_provider.translate.objects import Objects
from vk_provider.translate.workload import build, references

Json = dict[str, Any]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(auths: Any, *, old: bool = False) -> Json:
    kind, key = ("dockercfg", ".dockercfg") if old else ("dockerconfigjson", ".dockerconfigjson")
    content = auths if old or isinstance(auths, str) else {"auths": auths}
    text = content if isinstance(content, str) else json.dumps(content)
    return {"type": f"kubernetes.io/{kind}", "data": {key: encoded(text)}}


def user(name: str, password: str = "hush") -> Json:
    return {"auth": encoded(f"{name}:{password}")}


def pod_of(*names: str, secrets: int = 1) -> Json:
    containers = [{"name": f"c{number}", "image": name} for number, name in enumerate(names)]
    references = [{"name": f"s{number}"} for number in range(secrets)]
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": containers, "imagePullSecrets": references},
    }


def made(pod: Json, *secrets: Json | None) -> Workload:
    wanted = references(pod, capabilities=CAPABILITIES).secrets
    return build(pod, Objects(secrets={key: secrets[int(key[1][1:])] for key in wanted}), CONTEXT)


def logins(image: str, *secrets: Json) -> list[tuple[str, str, str]]:
    built = made(pod_of(image, secrets=len(secrets)), *secrets)
    return [(each.server, each.user, each.password) for each in built.registry_credentials]


HOST = "registry.example.com"


@pytest.mark.parametrize(
    ("key", "image", "server"),
    [
        (HOST, f"{HOST}/team/app:1", HOST),
        (f"https://{HOST}", f"{HOST}/app", HOST),
        (f"http://{HOST}/", f"{HOST}/app@sha256:{'a' * 64}", HOST),
        (f"https://{HOST}/v1/", f"{HOST}/app", HOST),
        (f"https://{HOST}/v2/", f"{HOST}/app", HOST),
        (f"{HOST}/v2", f"{HOST}/app", None),
        (f"{HOST}/team", f"{HOST}/team/app", HOST),
        (f"{HOST}/team", f"{HOST}/teams/app", HOST),
        (f"{HOST}/team/", f"{HOST}/teams/app", None),
        (f"{HOST}/other", f"{HOST}/team/app", None),
        (f"{HOST}/v1/team", f"{HOST}/team/app", HOST),
        (f"{HOST}:5000", f"{HOST}:5000/app", f"{HOST}:5000"),
        (f"{HOST}:5000", f"{HOST}/app", None),
        (HOST, f"{HOST}:5000/app", None),
        ("*.example.com", f"{HOST}/app", HOST),
        ("*.com", f"{HOST}/app", None),
        ("reg*.*.com", f"{HOST}/app", HOST),
        ("*.example.com:5000", f"{HOST}:5000/app", f"{HOST}:5000"),
        ("https://index.docker.io/v1/", "nginx", "docker.io"),
        ("index.docker.io", "bitnami/redis:7", "docker.io"),
        ("docker.io", "docker.io/library/nginx", "docker.io"),
        ("docker.io", "index.docker.io/library/nginx", "docker.io"),
        ("docker.io/bitnami", "bitnami/redis", "docker.io"),
        ("docker.io/bitnami", "nginx", None),
        ("localhost:5000", "localhost:5000/x", "localhost:5000"),
        ("localhost", "localhost/x", "localhost"),
        ("other.example.com", f"{HOST}/app", None),
    ],
)
def test_which_images_a_login_is_for(key: str, image: str, server: str | None) -> None:
    expected = [] if server is None else [(server, "u", "hush")]
    assert logins(image, secret({key: user("u")})) == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param({"auth": encoded("u:p")}, ("u", "p"), id="auth"),
        pytest.param({"auth": encoded("u:p:q:")}, ("u", "p:q:"), id="the first colon parts them"),
        pytest.param({"auth": encoded("us:p").rstrip("=")}, ("us", "p"), id="no padding"),
        pytest.param({"auth": encoded("u:p"), "username": "x", "password": "y"}, ("u", "p"), id="auth first"),
        pytest.param({"username": "x", "password": "y"}, ("x", "y"), id="words"),
        pytest.param({"auth": "", "username": "x", "password": "y", "email": "e"}, ("x", "y"), id="empty auth"),
        pytest.param({"auth": encoded("u:")}, ("u", ""), id="empty password"),
        pytest.param({"auth": encoded("u: p ")}, ("u", " p "), id="blanks are the password's"),
        pytest.param({"auth": encoded("u:p\0\0")}, ("u", "p"), id="padded with zeros"),
        pytest.param({"auth": "!"}, None, id="no base64"),
        pytest.param({"auth": encoded("up")}, None, id="no colon"),
        pytest.param({"auth": 3}, None, id="no text"),
        pytest.param({"identitytoken": "t"}, None, id="a token"),
        pytest.param({}, None, id="nothing"),
        pytest.param([], None, id="no object"),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_how_an_entry_is_read(entry: Any, expected: tuple[str, str] | None, old: bool) -> None:
    pod = pod_of(f"{HOST}/app")
    built = made(pod, secret({HOST: entry}, old=old))
    if expected is not None:
        assert built.registry_credentials == (RegistryCredential(HOST, *expected),)
        assert built.notices == ()
    else:
        assert built.registry_credentials == ()
        assert [notice.reason for notice in built.notices] == ["InvalidImagePullSecret"]
        assert HOST in built.notices[0].message


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (secret("{"), "cannot be read"),
        (secret("[]"), "cannot be read"),
        (secret({HOST: user("u")}) | {"type": "Opaque"}, "its type Opaque"),
        ({"type": "kubernetes.io/dockercfg", "data": {}}, "has no key .dockercfg"),
    ],
)
def test_a_secret_that_cannot_be_read_is_skipped_and_told(broken: Json, words: str) -> None:
    built = made(pod_of(f"{HOST}/app", secrets=2), broken, secret({HOST: user("u")}))
    assert [each.user for each in built.registry_credentials] == ["u"]
    (notice,) = built.notices
    assert (notice.reason, words in notice.message, "hush" in notice.message) == ("InvalidImagePullSecret", True, False)


def test_missing_secrets_are_told_and_the_pod_goes_on() -> None:
    built = made(pod_of("nginx", secrets=3), None, secret({}), None)
    message = "Unable to retrieve some image pull secrets (s0, s2); attempting to pull the image may not succeed."
    assert built.notices == (Notice("FailedToRetrieveImagePullSecret", message),)


def test_the_most_specific_login_is_taken_and_of_equal_ones_the_first() -> None:
    several = secret({HOST: user("host"), f"{HOST}/team": user("team"), "*.example.com": user("glob")})
    assert logins(f"{HOST}/team/app", several) == [(HOST, "team", "hush")]
    assert logins(f"{HOST}/app", several) == [(HOST, "host", "hush")]
    assert logins(f"{HOST}/app", secret({HOST: user("a")}), secret({HOST: user("b")})) == [(HOST, "a", "hush")]


def test_only_the_logins_that_the_images_need_are_sent() -> None:
    several = secret({HOST: user("a"), "docker.io": user("b"), "unused.example.com": user("c")})
    built = made(pod_of("nginx", f"{HOST}/x", f"{HOST}/y"), several)
    assert [(each.server, each.user) for each in built.registry_credentials] == [("docker.io", "b"), (HOST, "a")]


def test_two_logins_for_one_host_are_told() -> None:
    several = secret({f"{HOST}/a": user("a"), f"{HOST}/b": user("b")})
    built = made(pod_of(f"{HOST}/a/x", f"{HOST}/b/x"), several)
    assert [each.user for each in built.registry_credentials] == ["a"]
    (notice,) = built.notices
    assert (notice.reason, notice.container) == ("ImagePullSecretNotUsed", "c1")
    assert f"{HOST}/b/x may not be pulled" in notice.message


def test_an_empty_name_names_no_secret() -> None:
    pod = pod_of("nginx")
    pod["spec"]["imagePullSecrets"] = [{}, {"name": ""}]
    assert references(pod, capabilities=CAPABILITIES).secrets == frozenset()


def test_a_login_does_not_show_its_password() -> None:
    assert "hush" not in repr(made(pod_of(f"{HOST}/x"), secret({HOST: user("u")})))


@given(st.binary() | st.recursive(st.text(max_size=5), lambda inner: st.dictionaries(st.text(max_size=5), inner)))
def test_whatever_a_secret_holds_the_pod_goes_on(content: Any) -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    for kind in ("dockercfg", "dockerconfigjson"):
        held = {"type": f"kubernetes.io/{kind}", "data": {f".{kind}": base64.b64encode(text).decode()}}
        assert made(pod_of("nginx"), held).containers


# --- names of images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "host", "path"),
    [
        ("nginx", "docker.io", "library/nginx"),
        ("nginx:1.25", "docker.io", "library/nginx"),
        ("a/b", "docker.io", "a/b"),
        (f"a/b:1@sha256:{'0' * 64}", "docker.io", "a/b"),
        ("a.b/c", "a.b", "c"),
        ("a:1/c:2", "a:1", "c"),
        ("localhost/c", "localhost", "c"),
        ("CAPS/c", "CAPS", "c"),
        ("[::1]:5000/c", "[::1]:5000", "c"),
        ("a.b/c__d/e-f.g", "a.b", "c__d/e-f.g"),
    ],
)
def test_parts_of_a_name(name: str, host: str, path: str) -> None:
    assert images.parse(name) == images.ImageName(host, path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Nginx", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("a b", "invalid reference format"),
        ("a:b c", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("a@sha256:x", "invalid reference format"),
        ("http://a.b/c", "invalid reference format"),
        ("a:", "invalid reference format"),
        (":1", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("0" * 64, "cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_a_name_that_no_runtime_takes_keeps_the_pod_waiting(name: str, words: str) -> None:
    with pytest.raises(PodNotReady) as raised:
        made(pod_of(name, secrets=0))
    error = raised.value
    assert (error.event_reason, error.waiting_reason, error.container) == ("InspectFailed", "InvalidImageName", "c0")
    assert str(error).startswith(f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": ')
    assert words in str(error)


@given(st.text(alphabet="aA0.:/@-_[]é ", max_size=20))
def test_any_name_is_parsed_or_not(name: str) -> None:
    try:
        parsed = images.parse(name)
    except images.BadName:
        return
    assert parsed.host
    assert parsed.path == parsed.path.lower()
