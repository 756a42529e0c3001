"""What a Service's selector finds, followed as pods come, get ready and go."""

from .world import container, pod

LABELS = {"app": "web"}
SLICES = "endpointslices.discovery.k8s.io"


def service(name="web", **spec):
    ports = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    return {
        "metadata": {"name": name, "labels": {"tier": "front"}},
        "spec": {"selector": LABELS, "ports": ports, **spec},
    }


def backend(name, port=8080, **spec):
    offered = {**container(), "ports": [{"name": "web", "containerPort": port}]}
    return pod(name, labels=LABELS, containers=[offered], **spec)


def subsets(world, name="web"):
    return world.get("endpoints", name).get("subsets") or []


def slices(world):
    return world.api.list(SLICES, "default")[0]


async def test_follows_readiness_and_deletion(world):
    world.node("n1")
    world.make("services", service(), "default")
    world.make("pods", backend("a"), "default")
    await world.settle()
    assert subsets(world) == []
    world.status(world.get("pods", "a"), {"phase": "Running", "podIP": "10.1.0.1"})
    await world.settle()
    (subset,) = subsets(world)
    assert "addresses" not in subset
    assert subset["notReadyAddresses"][0]["ip"] == "10.1.0.1"
    made = world.run_pod(world.get("pods", "a"))
    await world.settle()
    (subset,) = subsets(world)
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert subset["addresses"] == [
        {
            "ip": "10.1.0.1",
            "nodeName": "n1",
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": made["metadata"]["uid"]},
        }
    ]
    (one,) = slices(world)
    assert one["metadata"]["labels"] == {
        "tier": "front",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert one["endpoints"][0]["conditions"] == {"ready": True, "serving": True, "terminating": False}
    world.api.delete("pods", "a", "default")
    await world.settle()
    assert subsets(world) == []
    (one,) = slices(world)
    assert one["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    world.remove_pod(made)
    await world.settle()
    assert slices(world)[0]["endpoints"] == []


async def test_pods_with_other_numbers_make_another_subset(world):
    world.make("services", service(), "default")
    for number, name in enumerate("ab", start=1):
        world.make("pods", backend(name, port=8000 + number), "default")
        world.run_pod(world.get("pods", name), ip=f"10.1.0.{number}")
    await world.settle()
    assert [item["ports"][0]["port"] for item in subsets(world)] == [8001, 8002]
    assert sorted(item["ports"][0]["port"] for item in slices(world)) == [8001, 8002]
    world.end_pod(world.get("pods", "a"))
    await world.settle()
    assert [item["ports"][0]["port"] for item in subsets(world)] == [8002]
    assert len(slices(world)) == 1


async def test_headless_without_ports_and_with_host_names(world):
    world.make("services", service(clusterIP="None", ports=None), "default")
    world.make("pods", backend("a", hostname="first", subdomain="web"), "default")
    world.run_pod(world.get("pods", "a"))
    await world.settle()
    (subset,) = subsets(world)
    assert "ports" not in subset
    assert subset["addresses"][0]["hostname"] == "first"
    assert "service.kubernetes.io/headless" in world.get("endpoints", "web")["metadata"]["labels"]


async def test_a_service_without_selector_is_left_alone(world):
    world.make("services", service(selector=None), "default")
    await world.settle()
    assert not world.exists("endpoints", "web")


async def test_endpoints_go_with_their_service(world):
    world.make("services", service(), "default")
    await world.settle()
    assert world.exists("endpoints", "web")
    world.api.delete("services", "web", "default")
    await world.settle()
    assert not world.exists("endpoints", "web")


async def test_unready_pods_are_published_on_request(world):
    world.make("services", service(publishNotReadyAddresses=True), "default")
    world.make("pods", backend("a"), "default")
    world.status(world.get("pods", "a"), {"phase": "Running", "podIP": "10.1.0.1"})
    await world.settle()
    assert subsets(world)[0]["addresses"][0]["ip"] == "10.1.0.1"
