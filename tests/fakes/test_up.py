"""What `make up` says when all of it runs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes import up
from fakes.cloud.isolation import Isolation


@pytest.mark.parametrize("kind", ["root", "user", "plain"])
def test_it_says_how_pods_commands_run(kind, tmp_path):
    isolation = Isolation(kind, Path("/"), why_plain="no namespaces can be made here")
    settings = up.Settings(directory=Path("/x"), kubeconfig=Path("/x/kubeconfig"))
    provider = SimpleNamespace(log=tmp_path / "provider.log")
    provider.log.write_text("")
    local = up.Local(settings, None, None, provider, "http://cloud", isolation.describe())
    told = up.welcome(local)
    assert f"How pods' commands run here: {isolation.describe()}\n" in told
    assert ("NO SANDBOX" in told) == (kind == "plain")
