"""What Kubernetes refuses in a pod, its template, its update and its status (`pkg/apis/core/validation`). Pure."""

import ipaddress
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from fakes.kube import names
from fakes.kube.errors import Fault
from fakes.kube.qos import qos_class
from fakes.kube.quantity import parse

Json = dict[str, Any]

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_PULL = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_QUANTITY_RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def created(pod: Json) -> list[Fault]:
    return pod_spec(pod.get("spec") or {}, "spec")


def pod_spec(spec: Json, at: str) -> list[Fault]:
    """Everything wrong with a pod spec found at the path `at`."""
    volumes, faults = _volumes(spec.get("volumes") or [], f"{at}.volumes")
    containers = spec.get("containers") or []
    if not containers:
        faults.append(Fault.required(f"{at}.containers"))
    taken: set[str] = set()
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or []):
            faults += _container(container, f"{at}.{field}[{index}]", volumes, taken, init=field == "initContainers")
    faults += _one_of(spec, "restartPolicy", _RESTART, at) + _one_of(spec, "dnsPolicy", _DNS, at)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        faults.append(
            Fault.invalid(f"{at}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    if name := spec.get("serviceAccountName"):
        faults += names.subdomain(f"{at}.serviceAccountName", name)
    if name := spec.get("nodeName"):
        faults += names.subdomain(f"{at}.nodeName", name)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            faults += names.label(f"{at}.{field}", spec[field])
    faults += names.labels(f"{at}.nodeSelector", spec.get("nodeSelector"))
    for index, toleration in enumerate(spec.get("tolerations") or []):
        faults += _toleration(toleration, f"{at}.tolerations[{index}]")
    return faults + _affinity(spec.get("affinity") or {}, f"{at}.affinity")


def _one_of(holder: Json, field: str, allowed: tuple[str, ...], at: str) -> list[Fault]:
    value = holder.get(field)
    return [] if value is None or value in allowed else [Fault.unsupported(f"{at}.{field}", value, allowed)]


def _volumes(volumes: list[Json], at: str) -> tuple[set[str], list[Fault]]:
    seen: set[str] = set()
    faults: list[Fault] = []
    for index, volume in enumerate(volumes):
        name, here = volume.get("name", ""), f"{at}[{index}]"
        if not name:
            faults.append(Fault.required(f"{here}.name"))
        else:
            faults += names.label(f"{here}.name", name)
        if name in seen:
            faults.append(Fault.duplicate(f"{here}.name", name))
        seen.add(name)
        sources = sorted(set(volume) - {"name"})
        faults += [
            Fault.forbidden(f"{here}.{extra}", "may not specify more than 1 volume type") for extra in sources[1:]
        ]
        faults += _volume_source(volume, here)
    return seen, faults


def _volume_source(volume: Json, at: str) -> list[Fault]:
    needed = {"secret": "secretName", "configMap": "name", "hostPath": "path", "persistentVolumeClaim": "claimName"}
    faults = [
        Fault.required(f"{at}.{source}.{field}")
        for source, field in needed.items()
        if isinstance(volume.get(source), dict) and not volume[source].get(field)
    ]
    for source in ("secret", "configMap"):
        for index, item in enumerate((volume.get(source) or {}).get("items") or []):
            faults += [
                Fault.required(f"{at}.{source}.items[{index}].{field}")
                for field in ("key", "path")
                if not item.get(field)
            ]
            if ".." in str(item.get("path", "")).split("/"):
                faults.append(
                    Fault.invalid(f"{at}.{source}.items[{index}].path", item["path"], "must not contain '..'")
                )
    return faults


def _container(container: Json, at: str, volumes: set[str], taken: set[str], *, init: bool) -> list[Fault]:
    name = container.get("name", "")
    faults = names.label(f"{at}.name", name) if name else [Fault.required(f"{at}.name")]
    if name and name in taken:
        faults.append(Fault.duplicate(f"{at}.name", name))
    taken.add(name)
    image = container.get("image", "")
    if not image:
        faults.append(Fault.required(f"{at}.image"))
    elif image != image.strip():
        faults.append(Fault.invalid(f"{at}.image", image, "must not have leading or trailing whitespace"))
    faults += _one_of(container, "imagePullPolicy", _PULL, at)
    faults += _one_of(container, "terminationMessagePolicy", ("File", "FallbackToLogsOnError"), at)
    if init:
        faults += _one_of(container, "restartPolicy", ("Always",), at)
    else:
        faults += _one_of(container, "restartPolicy", ("Always", "OnFailure", "Never"), at)
    faults += _ports(container.get("ports") or [], f"{at}.ports")
    faults += _env(container, at)
    faults += _mounts(container.get("volumeMounts") or [], f"{at}.volumeMounts", volumes)
    if container.get("readinessProbe") and init and container.get("restartPolicy") != "Always":
        faults.append(
            Fault.forbidden(f"{at}.readinessProbe", "may not be set for init containers without restartPolicy=Always")
        )
    return faults + resources(container.get("resources") or {}, f"{at}.resources")


def _ports(ports: list[Json], at: str) -> list[Fault]:
    faults: list[Fault] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        here, number = f"{at}[{index}]", port.get("containerPort")
        if not number:
            faults.append(Fault.required(f"{here}.containerPort"))
        elif not isinstance(number, int) or not 1 <= number <= 65535:
            faults.append(Fault.invalid(f"{here}.containerPort", number, "must be between 1 and 65535, inclusive"))
        faults += _one_of(port, "protocol", _PROTOCOLS, here)
        if name := port.get("name"):
            if len(name) > 15:
                faults.append(Fault.invalid(f"{here}.name", name, "must be no more than 15 characters"))
            if name in seen:
                faults.append(Fault.duplicate(f"{here}.name", name))
            seen.add(name)
    return faults


def _env(container: Json, at: str) -> list[Fault]:
    faults: list[Fault] = []
    for index, variable in enumerate(container.get("env") or []):
        here, name = f"{at}.env[{index}]", variable.get("name", "")
        if not name:
            faults.append(Fault.required(f"{here}.name"))
        elif "=" in name or not name.isprintable() or not name.isascii():
            rule = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            faults.append(Fault.invalid(f"{here}.name", name, rule))
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            faults.append(Fault.invalid(f"{here}.valueFrom", "", "may not be specified when `value` is not empty"))
        if len(source) != 1:
            why = (
                "may not have more than one field specified at a time"
                if source
                else "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            )
            faults.append(Fault.invalid(f"{here}.valueFrom", "", why))
        for field in ("configMapKeyRef", "secretKeyRef"):
            if field in source:
                faults += [
                    Fault.required(f"{here}.valueFrom.{field}.{part}")
                    for part in ("name", "key")
                    if not source[field].get(part)
                ]
    return faults


def _mounts(mounts: list[Json], at: str, volumes: set[str]) -> list[Fault]:
    faults: list[Fault] = []
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        here, name, path = f"{at}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            faults.append(Fault.required(f"{here}.name"))
        elif name not in volumes:
            faults.append(Fault.not_found(f"{here}.name", name))
        if not path:
            faults.append(Fault.required(f"{here}.mountPath"))
        elif path in seen:
            faults.append(Fault.invalid(f"{here}.mountPath", path, "must be unique"))
        seen.add(path)
        if (sub := mount.get("subPath", "")) and (sub.startswith("/") or ".." in sub.split("/")):
            why = "must be a relative path" if sub.startswith("/") else "must not contain '..'"
            faults.append(Fault.invalid(f"{here}.subPath", sub, why))
    return faults


def resources(amounts: Json, at: str) -> list[Fault]:
    """Limits and requests of one container."""
    limits, requests = amounts.get("limits") or {}, amounts.get("requests") or {}
    faults = [*_amounts(limits, f"{at}.limits"), *_amounts(requests, f"{at}.requests")]
    if faults:
        return faults
    for name, request in requests.items():
        if name not in limits:
            if _extended(name):
                faults.append(Fault.required(f"{at}.limits", "Limit must be set for non overcommitable resources"))
        elif _extended(name) and parse(request) != parse(limits[name]):
            faults.append(Fault.invalid(f"{at}.requests", request, f"must be equal to {name} limit of {limits[name]}"))
        elif parse(request) > parse(limits[name]):
            faults.append(
                Fault.invalid(
                    f"{at}.requests", request, f"must be less than or equal to {name} limit of {limits[name]}"
                )
            )
    return faults


def _extended(name: str) -> bool:
    return "/" in name and not name.startswith("kubernetes.io/")


def _amounts(amounts: Json, at: str) -> Iterator[Fault]:
    for name, amount in amounts.items():
        here = f"{at}[{name}]"
        yield from names.qualified(here, name)
        if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
            yield Fault.invalid(here, name, "must be a standard resource type or fully qualified")
        try:
            value = parse(amount)
        except ValueError:
            yield Fault.invalid(here, amount, _QUANTITY_RULE)
            continue
        if value < 0:
            yield Fault.invalid(here, str(amount), "must be greater than or equal to 0")
        if _extended(name) and value % Decimal(1):
            yield Fault.invalid(here, str(amount), "must be an integer")


def _toleration(toleration: Json, at: str) -> list[Fault]:
    operator, key = toleration.get("operator", "Equal"), toleration.get("key", "")
    faults = _one_of(toleration, "operator", ("Equal", "Exists"), at)
    faults += _one_of(toleration, "effect", ("NoSchedule", "PreferNoSchedule", "NoExecute", ""), at)
    if not key and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        faults.append(Fault.invalid(f"{at}.operator", operator, why))
    if operator == "Exists" and toleration.get("value"):
        faults.append(
            Fault.invalid(f"{at}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
        )
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        faults.append(Fault.invalid(f"{at}.effect", toleration.get("effect", ""), why))
    return faults


def _affinity(affinity: Json, at: str) -> list[Fault]:
    required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return []
    here = f"{at}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    terms = required.get("nodeSelectorTerms") or []
    if not terms:
        return [Fault.required(here, "must have at least one node selector term")]
    faults: list[Fault] = []
    for index, term in enumerate(terms):
        for place, expression in enumerate(term.get("matchExpressions") or []):
            spot, operator = f"{here}[{index}].matchExpressions[{place}]", expression.get("operator")
            values = expression.get("values") or []
            if operator in ("In", "NotIn") and not values:
                faults.append(Fault.required(f"{spot}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
            elif operator in ("Exists", "DoesNotExist") and values:
                faults.append(
                    Fault.forbidden(
                        f"{spot}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                    )
                )
            elif operator not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
                faults.append(Fault.invalid(f"{spot}.operator", operator or "", "not a valid selector operator"))
    return faults


def updated(new: Json, old: Json) -> list[Fault]:
    """A pod's spec is fixed once made, but for a handful of fields."""
    spec, before = new.get("spec") or {}, old["spec"]
    faults: list[Fault] = []
    for field in ("containers", "initContainers"):
        if len(spec.get(field) or []) != len(before.get(field) or []):
            return [Fault.forbidden(f"spec.{field}", "pod updates may not add or remove containers")]
        for index, container in enumerate(spec.get(field) or []):
            if not container.get("image"):
                faults.append(Fault.required(f"spec.{field}[{index}].image"))
    faults += _deadline(spec, before) + _added_tolerations(spec, before)
    if _fixed(spec) != _fixed(before) and not faults:
        changed = sorted(key for key in {*spec, *before} if _fixed(spec).get(key) != _fixed(before).get(key))
        faults.append(Fault.forbidden("spec", f"{_UPDATABLE}\nchanged: {', '.join(changed)}"))
    return faults


def resized(new: Json, old: Json) -> list[Fault]:
    """Only cpu and memory change, and never the pod's quality of service (`ValidatePodResize`)."""
    faults: list[Fault] = []
    for field in ("containers", "initContainers"):
        before = {item["name"]: item.get("resources") or {} for item in old["spec"].get(field) or ()}
        for index, container in enumerate(new["spec"].get(field) or ()):
            at, amounts = f"spec.{field}[{index}].resources", container.get("resources") or {}
            faults += resources(amounts, at)
            if _unsizable(amounts) != _unsizable(before[container["name"]]):
                faults.append(Fault.forbidden(at, "only cpu and memory resources are mutable"))
    if not faults and qos_class(new["spec"]) != qos_class(old["spec"]):
        faults.append(Fault.invalid("spec", new["spec"], "Pod QOS Class may not change as a result of resizing"))
    return faults


def _unsizable(amounts: Json) -> Json:
    return {
        kind: {name: amount for name, amount in (amounts.get(kind) or {}).items() if name not in ("cpu", "memory")}
        for kind in ("limits", "requests")
    }


def _fixed(spec: Json) -> Json:
    """The spec without what an update may change."""
    kept = {
        key: value
        for key, value in spec.items()
        if key not in ("activeDeadlineSeconds", "tolerations", "schedulingGates")
    }
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [{key: value for key, value in item.items() if key != "image"} for item in kept[field]]
    if kept.get("terminationGracePeriodSeconds", 30) < 0:
        kept["terminationGracePeriodSeconds"] = 1
    return kept


def _deadline(spec: Json, before: Json) -> list[Fault]:
    new, old = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    at = "spec.activeDeadlineSeconds"
    if new is not None and new < 1:
        return [Fault.invalid(at, new, "must be between 1 and 2147483647, inclusive")]
    if old is not None and new is None:
        return [Fault.invalid(at, None, "must not update from a positive integer to nil value")]
    if old is not None and new > old:
        return [Fault.invalid(at, new, "must be less than or equal to previous value")]
    return []


def _added_tolerations(spec: Json, before: Json) -> list[Fault]:
    """Old tolerations stay, but their seconds may change; new ones may be added."""
    bare = [
        {key: value for key, value in item.items() if key != "tolerationSeconds"}
        for item in spec.get("tolerations") or []
    ]
    for item in before.get("tolerations") or []:
        if {key: value for key, value in item.items() if key != "tolerationSeconds"} not in bare:
            return [
                Fault.forbidden(
                    "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
                )
            ]
    return []


def status_updated(new: Json, old: Json) -> list[Fault]:
    """A kubelet may not bring a finished container back to life against the restart policy."""
    status, before, spec = new.get("status") or {}, old.get("status") or {}, old["spec"]
    policy = spec.get("restartPolicy", "Always")
    faults = _revived(status, before, "containerStatuses", spec.get("containers") or (), policy)
    # an init container that failed is run again unless the pod's policy is Never
    inits = spec.get("initContainers") or ()
    faults += _revived(status, before, "initContainerStatuses", inits, "OnFailure" if policy == "Always" else policy)
    if status.get("qosClass") != before.get("qosClass"):
        faults.append(Fault.invalid("status.qosClass", status.get("qosClass", ""), "field is immutable"))
    for index, condition in enumerate(status.get("conditions") or []):
        kind = condition.get("type", "")
        faults += (
            names.qualified(f"status.conditions[{index}].type", kind)
            if kind
            else [Fault.required(f"status.conditions[{index}].type")]
        )
    return faults + _addresses(status)


def _revived(status: Json, before: Json, field: str, specs: Sequence[Json], policy: str) -> list[Fault]:
    faults: list[Fault] = []
    now, by_name = {item.get("name"): item for item in status.get(field) or []}, {item["name"]: item for item in specs}
    for index, item in enumerate(before.get(field) or []):
        ended = (item.get("state") or {}).get("terminated")
        if not ended or _begins_again(by_name.get(item["name"]) or {}, policy, ended.get("exitCode", 0)):
            continue
        after = now.get(item["name"])
        if after is not None and not (after.get("state") or {}).get("terminated"):
            faults.append(
                Fault.forbidden(f"status.{field}[{index}].state", "may not be transitioned to non-terminated state")
            )
    return faults


def _begins_again(container: Json, policy: str, code: int) -> bool:
    """By its own rules, its own policy, or the pod's, in this order (`ContainerShouldRestart`)."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        if (code in (codes.get("values") or ())) == (codes.get("operator") == "In"):
            return True
    own = container.get("restartPolicy") or policy
    return bool(own == "Always" or (own == "OnFailure" and code != 0))


def _addresses(status: Json) -> list[Fault]:
    faults: list[Fault] = []
    listed = [item.get("ip", "") for item in status.get("podIPs") or []]
    for index, text in enumerate(listed):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            faults.append(
                Fault.invalid(f"podIPs[{index}]", text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
            )
    return faults
