"""The demo of a day ends well, and writes a picture that shows the story."""

import re

from tests.preemptible import demo


def test_the_day_is_told_to_its_end_and_drawn(tmp_path, capsys):
    assert demo.main(["--out", str(tmp_path)]) == 0, capsys.readouterr().out[-3000:]
    told = capsys.readouterr().out
    for words in (
        "Insufficient gocrane.io/memory",
        "PreemptibleReclaim",
        "DisruptionTarget=True",
        "kubectl get jobs",
        "spot bill",
    ):
        assert words in told
    page = (tmp_path / "day.html").read_text()
    picture = (tmp_path / "day.svg").read_text()
    assert picture.startswith("<svg")
    assert 'class="reclaim"' in page
    for series in ("regular", "preemptible", "forecast", "offered", "quota"):
        assert re.search(rf'class="{series}', page), series
