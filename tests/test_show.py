"""`vk-provider show`: manifests beside what is printed for them, word for word.

tests/data/show/<case>.yaml and <case>.txt; the text ends with the exit code, as a shell would tell it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vk_provider import config, show
from vk_provider.cloud.eci import sizes
from vk_provider.errors import ConfigError

DATA = Path(__file__).parent / "data" / "show"
CASES = sorted(path.stem for path in DATA.glob("*.yaml"))
SETTINGS = {"ECI_REGION": "cn-hangzhou", "ECI_VSWITCH": "vsw-1", "ECI_SECURITY_GROUP": "sg-1"}
CONFIG = config.parse(flags={}, env=SETTINGS)


def printed(case):
    words = []
    try:
        code = show.main(CONFIG, [str(DATA / f"{case}.yaml")], words.append)
    except ConfigError as error:
        words.append(f"{error}\n".replace(f"{DATA}/", ""))
        code = 2
    return "".join(words) + f"exit {code}\n"


@pytest.mark.parametrize("case", CASES)
def test_what_is_printed(case):
    assert printed(case) == (DATA / f"{case}.txt").read_text()


def test_there_are_cases_and_no_text_without_one():
    assert len(CASES) >= 20
    assert sorted(path.stem for path in DATA.glob("*.txt")) == CASES


def test_through_the_door():
    """As a user calls it: without a cloud, a cluster or credentials."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ECI_", "VK_", "VKUBELET_"))}
    done = subprocess.run(
        [sys.executable, "-m", "vk_provider", "show", str(DATA / "job.yaml")],
        env={**clean, **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout + f"exit {done.returncode}\n", done.stderr) == ((DATA / "job.txt").read_text(), "")


def test_what_is_no_yaml_ends_with_2_through_the_door():
    done = subprocess.run(
        [sys.executable, "-m", "vk_provider", "show", str(DATA / "no-yaml.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-yaml.yaml" in done.stderr
    assert "line 2" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_price_is_the_list_price_of_the_size_billed():
    (shown,) = show.shows(CONFIG, [yaml.safe_load((DATA / "rounded-up.yaml").read_text())])
    price = sizes.price("cn-hangzhou")
    assert (shown.draft.cpu, shown.draft.memory_gib) == (4, 6), "rounded up from 2.3 vCPU and 4.9 GiB"
    assert f"{shown.draft.price.per_second:.8f} {price.currency}/s" in (DATA / "rounded-up.txt").read_text()
    assert shown.draft.price.per_second == pytest.approx(4 * price.per_cpu + 6 * price.per_gib)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["", "x", "Pod", "v1"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "template", "containers", "name", "image", "volumes", "items", "data", "env"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["Pod", "Job", "CronJob", "List", "ConfigMap", "Secret"]), JUNK, JUNK, JUNK)
def test_whatever_stands_in_a_manifest_is_answered_in_words(kind, meta, spec, more):
    document = {"kind": kind, "metadata": meta, "spec": spec, "items": more, "stringData": more}
    for shown in show.shows(CONFIG, [document]):
        assert (shown.draft is None) == bool(shown.faults)
        show._text(shown)
