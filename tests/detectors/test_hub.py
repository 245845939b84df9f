"""Detectors from and to a hub: a stand-in of its HTTP API on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Command, draw_face
from tests.detectors.conftest import make_detector
from tests.detectors.hub_stand_in import StandIn, stand_in
from verovolto import Detector
from verovolto.core.errors import DetectorError, InputError
from verovolto.detectors.hub import ORIGIN, Origin, locate, origin_of, pull
from verovolto.detectors.io import SHIPPED, detector_folder, read_description
from verovolto.detectors.pretrained import readme, texts_beside

NAME = "somebody/one-class"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    with stand_in() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        yield server


def scores(detector: Detector) -> list[float]:
    return detector.score([draw_face(number) for number in range(3)]).score.tolist()


def front_matter(text: str) -> dict[str, Any]:
    assert text.startswith("---\n")
    matter: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return matter


def test_what_is_sent_comes_back_the_same(hub: StandIn) -> None:
    detector = make_detector()
    commit = detector.push_to_hub(NAME, licence="cc-by-4.0")
    back = Detector.from_pretrained(NAME)
    assert scores(back) == scores(detector)
    assert back.metadata["hub"] == {"repository": NAME, "commit": commit}
    assert set(hub.commits[NAME][commit]) == {"detector.json", "model.safetensors", "README.md"}


def test_a_commit_is_the_same_for_good(hub: StandIn) -> None:
    first = make_detector().push_to_hub(NAME, licence="cc-by-4.0")
    other = make_detector("oc-ae")
    second = other.push_to_hub(NAME, licence="cc-by-4.0")
    assert first != second
    assert scores(Detector.from_pretrained(NAME, revision=first)) == scores(make_detector())
    assert scores(Detector.from_pretrained(NAME)) == scores(other)


def test_what_was_fetched_is_found_without_asking(hub: StandIn) -> None:
    detector = make_detector()
    commit = detector.push_to_hub(NAME, licence="cc-by-4.0")
    with pytest.raises(DetectorError, match="not on this machine"):
        Detector.from_pretrained(NAME, local_files_only=True)
    Detector.from_pretrained(NAME)
    hub.asked.clear()
    for revision in (None, commit):
        back = Detector.from_pretrained(NAME, revision=revision, local_files_only=True)
        assert scores(back) == scores(detector) and back.metadata["hub"]["commit"] == commit
    assert not hub.asked


def test_nothing_but_safetensors_json_and_texts_is_fetched(hub: StandIn, tmp_path: Path) -> None:
    make_detector().save_pretrained(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    hub.commit(NAME, {**files, "pickled.bin": b"cos\nsystem\n", "code.py": b"raise SystemExit"})
    folder, _ = locate(NAME)
    assert {path.name for path in folder.iterdir()} == set(files)
    assert not [asked for asked in hub.asked if "pickled" in asked or "code.py" in asked]


@pytest.mark.parametrize("file", ["detector.json", "model.safetensors"])
def test_what_was_changed_on_the_way_is_refused(hub: StandIn, tmp_path: Path, file: str) -> None:
    make_detector().save_pretrained(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    changed = (
        files[file].replace(b'"seed": 0', b'"seed": 1')
        if file == "detector.json"
        else files[file][:-1] + b"x"
    )
    assert changed != files[file]
    hub.commit(NAME, {**files, file: changed})
    with pytest.raises(DetectorError, match="was changed"):
        Detector.from_pretrained(NAME)
    with pytest.raises(DetectorError, match="was changed"):
        pull(NAME, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub-cache", "made"]


def test_pull_writes_a_folder_that_knows_where_it_came_from(
    hub: StandIn, tmp_path: Path, command_line: Command
) -> None:
    make_detector().save_pretrained(tmp_path / "made", licence="cc-by-4.0")
    code, out, _ = command_line("push", tmp_path / "made", NAME, "--licence", "cc-by-4.0")
    commit = out.split()[-1]
    assert code == 0 and commit in hub.commits[NAME]
    code, out, _ = command_line("pull", NAME, "--out", tmp_path / "pulled", "--revision", commit)
    assert code == 0 and out.split()[-1] == commit
    assert origin_of(tmp_path / "pulled") == Origin(repository=NAME, commit=commit)
    assert read_description(tmp_path / "pulled") == read_description(tmp_path / "made")
    assert Detector.from_pretrained(tmp_path / "pulled").metadata["hub"]["commit"] == commit
    assert not (tmp_path / "hub-cache").exists(), "nothing is kept elsewhere"
    assert not [path for path in (tmp_path / "pulled").rglob("*") if path.is_symlink()]
    code, _, err = command_line("pull", NAME, "--out", tmp_path / "pulled")
    assert code == 2 and "is not empty" in err


def test_what_is_not_there_is_said_in_words(hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="there is no nobody/nothing on the hub"):
        Detector.from_pretrained("nobody/nothing")
    make_detector().push_to_hub(NAME, licence="cc-by-4.0")
    with pytest.raises(DetectorError, match="has no revision v9"):
        Detector.from_pretrained(NAME, revision="v9")
    with pytest.raises(DetectorError, match="neither a folder nor OWNER/NAME"):
        Detector.from_pretrained("nowhere")
    with pytest.raises(InputError, match="no revisions"):
        Detector.from_pretrained("default", revision="main")
    for name in ("../up", "a/b/c", "one"):
        with pytest.raises(InputError, match="no repository"):
            pull(name, tmp_path / "out")


def test_a_hub_that_cannot_be_reached_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DetectorError, match="not on this machine"):
        Detector.from_pretrained(NAME, cache_dir=tmp_path)
    with pytest.raises(DetectorError, match="did not give or take"):
        make_detector().push_to_hub(NAME, licence="cc-by-4.0")


def test_without_a_licence_nothing_is_sent(hub: StandIn) -> None:
    with pytest.raises(InputError, match="under which licence"):
        make_detector().push_to_hub(NAME)
    assert not hub.asked


@pytest.mark.parametrize("name", SHIPPED)
def test_the_readme_of_a_detector_that_comes_along_is_made_of_its_card(name: str) -> None:
    folder = detector_folder(name)
    texts = texts_beside(folder)
    assert set(texts) == {"MODEL_CARD.md", "WEIGHTS_LICENSE.md"}
    card = texts["MODEL_CARD.md"]
    written = readme(name, read_description(folder)["about"], None, card=card, licence="WEIGHTS_LICENSE.md")
    matter = front_matter(written)
    assert card in written
    assert matter["license"] == "other" and matter["license_link"] == "WEIGHTS_LICENSE.md"
    assert {"verovolto", "deepfake-detection", name} <= set(matter["tags"])
    [result] = matter["model-index"][0]["results"]
    metrics = {each["type"]: each["value"] for each in result["metrics"]}
    assert f"| AUROC | {metrics['roc_auc']:.3f} [" in card
    assert f"{100 * metrics['missed_fakes']:.1f} % [" in card


def test_card_and_licence_go_with_a_detector(tmp_path: Path) -> None:
    folder = detector_folder("lite0")
    saved = Detector.load(folder).save_pretrained(tmp_path / "out")
    for text in ("MODEL_CARD.md", "WEIGHTS_LICENSE.md"):
        assert (saved / text).read_bytes() == (folder / text).read_bytes()
    assert read_description(saved) == read_description(folder)
    assert 'license_link: "WEIGHTS_LICENSE.md"' in (saved / "README.md").read_text(encoding="utf-8")


def test_a_detector_without_a_card_gets_one_of_its_own_words(tmp_path: Path) -> None:
    detector = make_detector()
    detector.metadata |= {
        "trained_on": {"name": "drawn", "faces": 24},
        "calibrated_on": {"real": 99, "clusters": 33, "cluster": "identity"},
    }
    text = (detector.save_pretrained(tmp_path / "out", licence="mit") / "README.md").read_text(
        encoding="utf-8"
    )
    assert front_matter(text)["license"] == "mit"
    assert "24 real faces of drawn" in text and "99 other real faces, 33 clusters by identity" in text
    assert json.dumps("faces held out from drawn") in text
    assert not (tmp_path / "out" / ORIGIN).exists()
