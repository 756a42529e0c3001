"""The fake cloud as a process of its own, and what only its owner sees: instances and bills."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.cluster import within
from tests.e2e.processes import Process

ACCESS_KEY, SECRET_KEY = "testid", "testsecret"


def images(perl_library: str) -> str:
    """What the fake cloud is to know of images, as TOML. perl_library: where perl finds what the founding Job needs."""
    if not perl_library:
        return ""
    return f'[[image]]\nname = "perl"\nenv = {{ PERL5LIB = {json.dumps(perl_library)} }}\n'


class Cloud:
    def __init__(self, directory: Path, *, images: str = "", runtime: str = "process") -> None:
        """images: TOML, as `--images` takes it."""
        self._ready = directory / "cloud.ready"
        images_file = directory / "images.toml"
        images_file.write_text(images)
        command = [sys.executable, "-m", "fakes", "cloud", f"--runtime={runtime}"]
        command += [f"--images={images_file}"] if runtime == "process" else ["--no-rate-limits"]
        command += ["--start-delay=0.3", f"--ready-file={self._ready}"]
        self.process = Process("cloud", command, directory=directory)
        self.endpoint = ""

    def start(self) -> None:
        self.process.start()

        def ready() -> bool:
            assert self.process.runs, self.process.tail()
            return self._ready.exists()

        within(30, ready, self.process.tail)
        self.endpoint = str(json.loads(self._ready.read_text())["endpoint"])

    def stop(self) -> None:
        self.process.stop()

    def instances(self, **tags: str) -> list[dict[str, Any]]:
        """Those the cloud has now, with their bills; `vk_namespace="a"` picks by the tag vk-namespace."""
        return _picked(self._get("state")["groups"], tags)

    def ever(self, **tags: str) -> list[dict[str, Any]]:
        """Those it has or had."""
        return _picked(self._get("bill")["groups"], tags)

    def of_pod(self, pod: dict[str, Any]) -> dict[str, Any]:
        """The one instance that this pod ever had."""
        found = self.ever(vk_pod_uid=pod["metadata"]["uid"])
        assert len(found) == 1, f"{pod['metadata']['name']} had {len(found)} instances"
        return found[0]

    def billed(self, **tags: str) -> list[str]:
        """Ids of those that cost money now."""
        return [each["id"] for each in self.instances(**tags) if each["billing"]]

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._get(f"journal?since={since}")["entries"]
        return entries

    def say(self, what: str, **body: Any) -> None:
        """An order to the admin API: outage, faults, vanish, nostock …"""
        data = json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.endpoint}/_admin/{what}", data=data, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()

    def clear(self, **tags: str) -> None:
        """Those picked are gone, also where one goes by itself between the look and the order."""
        for each in self.instances(**tags):
            try:
                self.say("vanish", id=each["id"])
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.endpoint}/_admin/{what}", timeout=10) as answer:
            return json.load(answer)


def _picked(groups: Sequence[dict[str, Any]], tags: dict[str, str]) -> list[dict[str, Any]]:
    wanted = {name.replace("_", "-"): value for name, value in tags.items()}
    return [each for each in groups if wanted.items() <= each["tags"].items()]
