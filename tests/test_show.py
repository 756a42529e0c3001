"""`vk-provider show`: manifests beside what is printed for them, word for word.

tests/data/show/<case>.yaml, and <case>.txt as it is printed into a pipe with `--request`; <case>.tty, where there is
one, on a terminal of 80 columns; <case>.json by `-o json`. Each text ends with the exit code, as a shell would tell it.
`python -m tests.test_show` writes those that are there anew.
"""

import contextlib
import copy
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_origin, get_type_hints, is_typeddict

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import yamldocuments
from tests.thorough import THOROUGH, examples, thorough
from vk_provider import cli, config, show
from vk_provider.cloud.eci import sizes
from vk_provider.errors import ManifestError
from vk_provider.show import document, files, manifests, report, verdicts

DATA = Path(__file__).parent / "data" / "show"
CASES = sorted(path.stem for path in DATA.glob("*.yaml"))
SETTINGS = {"ECI_REGION": "cn-hangzhou", "ECI_VSWITCH": "vsw-1", "ECI_SECURITY_GROUP": "sg-1"}
CONFIG = config.parse(flags={}, env=SETTINGS)
WAYS = {
    ".txt": ["--request"],
    ".tty": ["--color=always"],
    ".json": ["-o", "json", "--request"],
}


def findings(*documents):
    return verdicts.judge(CONFIG, [manifests.Manifest(each, "test.yaml") for each in documents])


def only(*documents):
    (verdict,) = findings(*documents).verdicts
    return verdict


def vk(*arguments, env=None, **more):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ECI_", "VK_", "VKUBELET_"))}
    return subprocess.run(
        [sys.executable, "-m", "vk_provider", "show", *arguments],
        **{"env": {**clean, **SETTINGS, **(env or {})}, "capture_output": True, "text": True, "check": False, **more},
    )


def printed(case, way):
    """In this process, for a new one takes half a second."""
    try:
        with contextlib.chdir(DATA):
            read = files.read([f"{case}.yaml"], stdin=bytes)
    except ManifestError as error:
        return f"{error}\nexit 2\n"
    found = verdicts.judge(CONFIG, read)
    if not found.verdicts:
        return "\n".join(report.nothing_to_show([f"{case}.yaml"], found)) + "\nexit 2\n"
    if way == ".json":
        text = document.text(found, request=True)
    else:
        style = report.Style(request=True) if way == ".txt" else report.Style(width=80, colour=True)
        text = report.text(found, style)
    return f"{text}exit {0 if found.all_well else 1}\n"


GOLDENS = [(path.stem, path.suffix) for path in sorted(DATA.iterdir()) if path.suffix in WAYS]


@pytest.mark.parametrize(("case", "way"), GOLDENS, ids=[f"{case}{way}" for case, way in GOLDENS])
def test_what_is_printed(case, way):
    assert printed(case, way) == (DATA / f"{case}{way}").read_text()


def test_there_are_cases_and_no_text_without_one():
    assert len(CASES) >= 40
    assert sorted(path.stem for path in DATA.glob("*.txt")) == CASES
    assert {case for case, _ in GOLDENS} == set(CASES)
    assert {case for case, way in GOLDENS if way == ".tty"} >= {"job", "refused-host-path", "list"}


# --- through the door -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_through_the_door(way):
    """As a user calls it: without a cloud, a cluster or credentials."""
    done = vk(*WAYS[way], "list.yaml", env={"COLUMNS": "80"}, cwd=DATA)
    if way == ".tty":  # no terminal, so no width
        assert (
            re.sub(r"\x1b\[\d+m", "", done.stdout).split()
            == re.sub(r"\x1b\[\d+m", "", (DATA / "list.tty").read_text().rpartition("exit")[0]).split()
        )
    else:
        assert f"{done.stdout}exit {done.returncode}\n" == (DATA / f"list{way}").read_text()
    assert done.stderr == ""


def test_on_a_terminal_it_is_coloured_and_as_wide_as_the_terminal():
    assert on_a_terminal(columns=80) == (DATA / "list.tty").read_text().rpartition("exit")[0]
    wide = on_a_terminal(columns=50)
    assert max(len(re.sub(r"\x1b\[\d+m", "", line)) for line in wide.splitlines()) <= 50
    assert "\x1b" not in on_a_terminal(columns=80, env={"NO_COLOR": "1"})
    assert "\x1b" not in on_a_terminal(columns=80, env={"TERM": "dumb"})


def on_a_terminal(*, columns, env=None):
    ours, theirs = pty.openpty()
    os.set_inheritable(theirs, True)
    subprocess.run(["stty", "cols", str(columns)], stdin=theirs, check=True)
    clean = {"NO_COLOR": "", "TERM": "xterm", "COLUMNS": "", **(env or {})}
    try:
        vk("list.yaml", env=clean, cwd=DATA, stdout=theirs, stderr=theirs, capture_output=False)
    finally:
        os.close(theirs)
    read = b""
    try:
        while chunk := os.read(ours, 65536):
            read += chunk
    except OSError:  # nobody holds the other end any more
        pass
    finally:
        os.close(ours)
    return read.decode().replace("\r\n", "\n")


def test_a_reader_that_leaves_ends_it_without_a_word():
    """`vk-provider show … | head -1`."""
    many = "---\n".join(f"kind: Pod\napiVersion: v1\nmetadata: {{name: p{n}}}\nspec: {{}}\n" for n in range(3000))
    ours, theirs = os.pipe()
    os.close(ours)
    done = vk("-", input=many, stdout=theirs, stderr=subprocess.PIPE, capture_output=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (-13, "")


def test_a_full_disk_is_told():
    with Path("/dev/full").open("w") as full:
        done = vk(str(DATA / "job.yaml"), stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (done.returncode, done.stderr) == (1, "vk-provider: cannot write: No space left on device\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_letters_is_no_fault(encoding):
    job = (DATA / "job.yaml").read_text().replace("name: pi\n  namespace", "name: grün-目\n  namespace")
    done = vk("-", input=job.encode(), env={"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "0"}, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"-\\u76ee  runs" in done.stdout


def test_show_does_not_know_the_rest_of_the_program():
    script = (
        "import sys; from vk_provider.show import document, files, report, verdicts\n"
        "others = ('vk_provider.app', 'vk_provider.kube', 'vk_provider.control', 'aiohttp', 'asyncio')\n"
        "print([name for name in sys.modules if name.startswith(others)])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_settings_of_show_are_those_that_it_reads(monkeypatch):
    read = set()

    class Recorder:
        def __getattr__(self, name):
            read.add(name)
            return getattr(CONFIG, name)

    case = yaml.safe_load((DATA / "job.yaml").read_text())
    assert verdicts.judge(Recorder(), [manifests.Manifest(case, "")]).all_well
    unseen = {"options"}  # the section of the cloud, whose settings say by themselves which of them are shown
    assert read - unseen == set(show.SETTINGS)


def test_services_of_the_same_files_never_make_a_pod_fail_and_what_is_left_out_is_told():
    services = [
        {"kind": "Service", "metadata": {"name": f"s{n}"}, "spec": {"ports": [{"port": 80}]}} for n in range(40)
    ]
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    for count, told in ((3, False), (40, True)):
        (verdict,) = findings(*services[:count], pod).verdicts
        assert not verdict.faults
        assert any("variables of Services" in note for note in verdict.notes) == told


def test_a_pod_is_refused_once_for_all_that_is_wrong_also_while_it_waits_for_something():
    container = {
        "name": "c",
        "image": "i",
        "command": ["x"] * 21,
        "envFrom": [{"configMapRef": {"name": "nowhere"}}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    for spec, count in (({}, 2), ({"hostNetwork": True}, 3)):
        pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container], **spec}}
        (verdict,) = findings(pod).verdicts
        assert verdict.outcome is verdicts.Outcome.REFUSED
        assert len(verdict.refusals) == count


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "nothing in it", id="empty"),
        pytest.param(b"# only words\n---\n", "nothing in it", id="only comments"),
        pytest.param(b"\x7fELF\0\0\1", "a binary file, not a manifest", id="binary"),
        pytest.param("kind: Pod\nname: grün\n".encode("latin-1"), "line 2: not UTF-8 text (byte 0xfc)", id="latin-1"),
        pytest.param("kind: Pod".encode("utf-16"), "UTF-16 text; save it as UTF-8", id="utf-16"),
        pytest.param(b"kind: Pod\n  a: [b\n", "line 2, column 4: not YAML: mapping values", id="bad YAML"),
        pytest.param(b"a: 1\nb: {\n", "line 3, column 1: not YAML", id="unfinished"),
        pytest.param(b"\tkind: Pod\n", "line 1, column 1: not YAML", id="tab"),
        pytest.param(b"kind: Pod\nkind: Job\n", "line 2, column 1: not YAML: the key kind stands twice", id="twice"),
        pytest.param(b'{"kind": "Pod",\n "kind": "Job"}', "line 2, column 2: not YAML: the key kind", id="twice, JSON"),
        pytest.param(b"kind: Pod\nname: {{ .Values.name }}\n", "helm template CHART | vk-provider show -", id="Helm"),
        pytest.param(b"- a\n- b\n", "line 1: a list, where a Kubernetes object", id="list"),
        pytest.param(b"kind: Pod\n---\njust words\n", "line 3: a text, where a Kubernetes object", id="text"),
        pytest.param(b"a: &a [*a]\n", "nested more deeply", id="itself"),
        pytest.param(b"a: " + b"[" * 5000, "nested more deeply", id="deep"),
        pytest.param(b'{"a":' * 5000, "nested more deeply", id="deep JSON"),
        pytest.param(b"a: !!python/object:os.system []\n", "line 1, column 4: not YAML: could not determine", id="tag"),
        pytest.param(b"a: !!binary aGVsbG8=\n", "line 1: a value of the YAML type bytes", id="bytes"),
        pytest.param(b"a: 0x" + b"f" * 5000, "a whole number beyond 64 bits", id="number"),
        pytest.param(b"a: " + b"9" * 5000, "not YAML", id="long number"),
        pytest.param(b"a: \x07\n", "line 1: a control character", id="bell"),
        pytest.param(b"? [a]\n: b\n", "a key must be a text", id="key"),
        pytest.param(b"kind: Service\napiVersion: v1\nmetadata: {name: a}\n", "no pods", id="no pods"),
        pytest.param(b"a: 1\n", "has no kind", id="no kind"),
    ],
)
def test_each_file_that_cannot_be_shown_has_words_of_its_own(tmp_path, content, words, capsys, monkeypatch):
    (tmp_path / "file.yaml").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGPIPE)
    try:
        code = cli.main(["show", "file.yaml"])
    finally:
        signal.signal(signal.SIGPIPE, before)
    output, told = capsys.readouterr()
    assert (code, output) == (2, "")
    heading, *faults = told.splitlines()
    assert heading == "vk-provider: the manifests cannot be shown:"
    assert len(faults) == 1
    assert faults[0].startswith("  - file.yaml: ")
    assert words in faults[0]


def test_a_bomb_of_aliases_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(ManifestError, match="larger by its aliases"):
        files.read([str(tmp_path / "bomb.yaml")], stdin=bytes)


def test_all_files_that_cannot_be_read_are_told_at_once(tmp_path):
    (tmp_path / "good.yaml").write_text((DATA / "job.yaml").read_text())
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "empty").mkdir()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("name: x\n")
    (tmp_path / "kust").mkdir()
    (tmp_path / "kust" / "kustomization.yaml").write_text("resources: []\n")
    names = ["good.yaml", "nowhere.yaml", "bad.yaml", "empty", "deep", "https://x.io/a.yaml", "chart", "kust", "-", "-"]
    done = vk(*names, cwd=tmp_path, input="")
    assert (done.returncode, done.stdout) == (2, "")
    heading, *faults = done.stderr.splitlines()
    assert heading == "vk-provider: the manifests cannot be shown:"
    assert faults == [
        "  - -: standard input is named twice; it can be read once",
        "  - nowhere.yaml: no such file or directory",
        "  - bad.yaml: line 1, column 5: not YAML: expected the node content, but found '<stream end>'",
        "  - empty: a directory without .yaml, .yml or .json files",
        "  - deep: a directory without .yaml, .yml or .json files; -R looks into its directories",
        (
            "  - https://x.io/a.yaml: a URL, and show reaches no network; fetch it first:"
            " curl -fsSL https://x.io/a.yaml | vk-provider show -"
        ),
        "  - chart: a Helm chart; render it first: helm template chart | vk-provider show -",
        "  - kust: a kustomization; build it first: kubectl kustomize kust | vk-provider show -",
    ]


def test_a_directory_is_all_its_manifests(tmp_path):
    (tmp_path / "a.yml").write_text((DATA / "job.yaml").read_text())
    (tmp_path / "b.json").write_text('{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "b"}, "spec": {}}')
    (tmp_path / "notes.txt").write_text("no manifest")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.yaml").write_text((DATA / "cronjob.yaml").read_text())
    flat = files.read([str(tmp_path)], stdin=bytes)
    assert [Path(each.file).name for each in flat] == ["a.yml", "b.json"]
    deep = files.read([str(tmp_path)], stdin=bytes, recursive=True)
    assert [Path(each.file).name for each in deep] == ["a.yml", "b.json", "c.yaml"]


def test_standard_input():
    done = vk("-", input=(DATA / "job.yaml").read_text())
    assert done.returncode == 0
    assert done.stdout.startswith("Job vk/pi  runs\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2024-01-01", "2024-01-01"),
        ("a: 22:22", "22:22"),
        ("a: 0644", 0o644),
        ("a: 1.5", 1.5),
        ("a: yes", True),
        ("a: {1: b, true: c}", {"1": "b", "true": "c"}),
        ("x: &x {b: 1, c: 2}\na: {<<: *x, c: 3}", {"b": 1, "c": 3}),
        ('\ufeff{"a": 1}', 1),
        ('{\n\t"a": "\\u00e9"\n}', "é"),
    ],
)
def test_yaml_is_read_as_kubectl_reads_it(text, value):
    (read,) = files.read(["-"], stdin=text.encode)
    assert read.document["a"] == value


def test_lines_of_documents(tmp_path):
    text = "# words\na: 1\n---\nb: 2\n---\n---\n\nc: 3\n"
    assert [each.line for each in files.read(["-"], stdin=text.encode)] == [2, 4, 8]
    assert [each.line for each in files.read(["-"], stdin=b'{"a": 1}\n{"b": 2}\n\n{"c": 3}'.strip)] == [1, 2, 4]


# --- what is in them --------------------------------------------------------------------------------------------------


def test_the_price_is_the_list_price_of_the_size_billed():
    shown = only(yaml.safe_load((DATA / "rounded-up.yaml").read_text()))
    price = sizes.price("cn-hangzhou")
    assert (shown.draft.cpu, shown.draft.memory_gib) == (4, 6), "rounded up from 2.3 vCPU and 4.9 GiB"
    assert f"{shown.draft.price.per_second:.8f} {price.currency}/s" in (DATA / "rounded-up.txt").read_text()
    assert shown.draft.price.per_second == pytest.approx(4 * price.per_cpu + 6 * price.per_gib)


TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "main:1"}]}}


@pytest.mark.parametrize(
    ("kind", "spec", "pods", "total"),
    [
        ("Deployment", {}, 1, 0),
        ("Deployment", {"replicas": 3}, 3, 0),
        ("Deployment", {"replicas": 0}, 0, 0),
        ("StatefulSet", {"replicas": 2}, 2, 0),
        ("Job", {}, 1, 0),
        ("Job", {"parallelism": 4}, 4, 0),
        ("Job", {"completions": 9}, 1, 9),
        ("Job", {"parallelism": 4, "completions": 9}, 4, 9),
        ("Job", {"parallelism": 4, "completions": 2}, 2, 0),
    ],
)
def test_the_price_is_that_of_all_pods_at_a_time(kind, spec, pods, total):
    group = "batch" if kind == "Job" else "apps"
    shown = only(
        {"kind": kind, "apiVersion": f"{group}/v1", "metadata": {"name": "x"}, "spec": {"template": TEMPLATE, **spec}}
    )
    assert (shown.found.count.pods, shown.found.count.total) == (pods, total)
    each = shown.draft.price.per_hour
    told = document.of(verdicts.Findings([shown], []), request=False)["pods"][0]["price"]
    assert told["perHourAll"] == pytest.approx(each * pods)
    assert (f" = {each * pods:.4f} CNY/h" in report.price(shown, "cn-hangzhou")) == (pods != 1)
    assert (f"{total} pods in all" in report.price(shown, "cn-hangzhou")) == bool(total)


def test_a_misplaced_annotation_is_pointed_out():
    annotations = {"k8s.aliyun.com/eci-use-specs": "2-4Gi", "kubernetes.io/egress-bandwidth": "1M", "other": "x"}
    job = {"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": "x", "annotations": annotations}}
    shown = only({**job, "spec": {"template": TEMPLATE}})
    to = "pods do not get it; move it to spec.template.metadata.annotations"
    assert shown.notes == [
        f"metadata.annotations[k8s.aliyun.com/eci-use-specs] has no effect there: {to}",
        f"metadata.annotations[kubernetes.io/egress-bandwidth] has no effect there: {to}",
    ]
    well = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "annotations": {"other": "x"}}, **TEMPLATE}
    assert only(well).notes == []


# --- nothing in a manifest ends in a traceback ------------------------------------------------------------------------

DOCUMENTS = [
    yamldocuments.documents(DATA / f"{case}.yaml") for case in CASES if case not in ("no-yaml", "no-object", "empty")
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["", "x", "1Gi", "Pod", "é\x1b[31m", 1.5, 2**62]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "template", "containers", "name", "image", "volumes", "items", "env"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def members(value, path=()):
    """The path of every member of a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, content in inside:
        yield (*path, key)
        yield from members(content, (*path, key))


def in_place(documents, path, value):
    changed = copy.deepcopy(documents)
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return changed


def told(documents):
    """All that is said, if it can be said."""
    found = findings(*[each for each in documents if isinstance(each, dict)])
    for verdict in found.verdicts:
        assert (verdict.outcome is verdicts.Outcome.RUNS) == (verdict.draft is not None) == (not verdict.faults)
    text = report.text(found, report.Style(width=60, colour=True, request=True))
    assert not re.search(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[\d+m)", text)
    json.dumps(document.of(found, request=True))
    return text


@settings(max_examples=examples(400), deadline=None)
@given(st.data())
def test_whatever_stands_in_place_of_a_member_is_answered_in_words(data):
    documents = data.draw(st.sampled_from(DOCUMENTS))
    path = data.draw(st.sampled_from(sorted(members(documents), key=str)))
    if len(path) < 2:
        return
    text = told(in_place(documents, path, data.draw(JSON)))
    assert "not a pod that an API server would take" not in text, "this names no field"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    for documents in DOCUMENTS:
        text = report.text(findings(*documents), report.Style(width=width, colour=True, request=True))
        assert max(len(re.sub(r"\x1b\[\d+m", "", line)) for line in ["", *text.splitlines()]) <= width


ODD = (5, "x", [5], {"a": 5}, None)


@thorough
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_every_member_of_every_case_in_turn(value):
    """In `make test` each member has one of the values in its place."""
    seen = set()
    for documents in DOCUMENTS:
        for path in members(documents):
            kind = documents[path[0]].get("kind")
            if len(path) > 1 and (shape := (kind, *(step for step in path[1:] if isinstance(step, str)))) not in seen:
                seen.add(shape)
                if not THOROUGH and ODD[len(seen) % len(ODD)] != value:
                    continue
                text = told(in_place(documents, path, value))
                assert "not a pod that an API server would take" not in text, path


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(["Pod", "Job", "CronJob", "List", "ConfigMap", "Secret", "StatefulSet"]), JSON, JSON, JSON)
def test_whatever_stands_in_a_manifest_is_answered_in_words(kind, meta, spec, more):
    told([{"kind": kind, "metadata": meta, "spec": spec, "items": more, "stringData": more}])


# --- for programs -----------------------------------------------------------------------------------------------------


def test_the_json_is_what_its_types_say():
    for case, way in GOLDENS:
        if way == ".json":
            told = json.loads((DATA / f"{case}.json").read_text().rpartition("exit")[0])
            assert fits(document.Document, told) == []
    for documents in DOCUMENTS:
        assert fits(document.Document, json.loads(document.text(findings(*documents), request=False))) == []


def fits(shape, value, path="$"):
    """Where the value is not of the shape."""
    if is_typeddict(shape):
        hints = get_type_hints(shape)
        if not isinstance(value, dict) or set(value) != set(hints):
            return [path]
        return [fault for name, hint in hints.items() for fault in fits(hint, value[name], f"{path}.{name}")]
    if isinstance(shape, UnionType):
        return [] if any(not fits(each, value) for each in get_args(shape)) else [path]
    if get_origin(shape) is list:
        return [fault for each in value for fault in fits(get_args(shape)[0], each, f"{path}[]")]
    if get_origin(shape) is dict:
        return [] if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()) else [path]
    allowed = {float: (int, float), NoneType: (NoneType,)}.get(shape, (shape,))
    return [] if isinstance(value, allowed) and (shape is bool or not isinstance(value, bool)) else [path]


if __name__ == "__main__":
    for stem in CASES:
        for suffix in WAYS:
            golden = DATA / f"{stem}{suffix}"
            if suffix == ".txt" or golden.exists():
                golden.write_text(printed(stem, suffix))
