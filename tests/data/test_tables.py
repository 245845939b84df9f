"""Tables as spreadsheets write them: read, or refused by the name of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from verovolto.core.errors import DataError, InputError
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import read_scores

Image = Callable[..., bytes]
SCORES = "score,label,frame\n0.5,real,12.0\n0.75,fake,\n"


@pytest.fixture
def written(tmp_path: Path, image: Image) -> Callable[..., Path]:
    """Writes a manifest beside one image, `a.jpg`; returns the folder."""

    def write(text: str, *, encoding: str = "utf-8") -> Path:
        (tmp_path / "a.jpg").write_bytes(image(1))
        (tmp_path / "manifest.csv").write_bytes(text.encode(encoding))
        return tmp_path

    return write


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused_by_name(
    written: Callable[..., Path], tmp_path: Path, encoding: str
) -> None:
    with pytest.raises(DataError, match=r"no UTF-8 text \(it is UTF-(16|32)") as refused:
        FaceSet.open(written("path,label\na.jpg,real\n", encoding=encoding))
    assert refused.value.hint and "UTF-8" in refused.value.hint
    (tmp_path / "scores.csv").write_bytes(SCORES.encode(encoding))
    with pytest.raises(InputError, match=r"no UTF-8 text \(it is UTF-(16|32)"):
        read_scores(tmp_path / "scores.csv")


@pytest.mark.parametrize("line", ["sep=,\n", "sep=,\r\n", '"sep=,"\n', "SEP=,\n", "\ufeffsep=,\n"])
def test_the_line_that_names_the_separator_is_no_header(
    written: Callable[..., Path], tmp_path: Path, line: str
) -> None:
    assert FaceSet.open(written(f"{line}path,label\na.jpg,real\n")).face(0) == "a.jpg"
    (tmp_path / "scores.csv").write_text(line + SCORES)
    assert read_scores(tmp_path / "scores.csv").values("score").tolist() == [0.5, 0.75]


def test_a_separator_that_is_named_and_is_no_comma_is_refused(written: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="separated by semicolons"):
        FaceSet.open(written("sep=;\npath;label\na.jpg;real\n"))


def test_decimal_commas_are_refused_by_name(written: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"decimal commas; .*: 0\.5"):
        FaceSet.open(written('path,label,time\na.jpg,real,"0,5"\n'))
    (tmp_path / "scores.csv").write_text('score,label\n"0,5",real\n"0,7",fake\n')
    with pytest.raises(InputError, match=r"'score' holds no numbers.*decimal commas.*: 0\.5"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.csv").write_text("score,label\n0,5,real\n0,7,fake\n")
    with pytest.raises(InputError, match="decimal comma"):
        read_scores(tmp_path / "scores.csv")


@pytest.mark.parametrize("hidden", ["\u200blabel", "label\u00a0", "\ufefflabel", " label", "la\u00adbel"])
def test_what_is_invisible_in_the_name_of_a_column_is_shown(
    written: Callable[..., Path], tmp_path: Path, hidden: str
) -> None:
    with pytest.raises(DataError, match="has no column 'label'") as refused:
        FaceSet.open(written(f"path,{hidden}\na.jpg,real\n"))
    assert refused.value.hint == f"it has: path, {hidden!r}"
    (tmp_path / "scores.csv").write_text(SCORES.replace("label", hidden))
    with pytest.raises(InputError, match="there is no column 'label'") as refused_scores:
        read_scores(tmp_path / "scores.csv")
    assert repr(hidden) in str(refused_scores.value)


def test_a_frame_of_12_0_is_12(written: Callable[..., Path], tmp_path: Path) -> None:
    faces = FaceSet.open(written("path,label,frame\na.jpg,real,12.0\n"))
    assert faces.columns("frame")["frame"].to_pylist() == [12]
    with pytest.raises(DataError, match="column 'frame' is not int32"):
        FaceSet.open(written("path,label,frame\na.jpg,real,12.5\n"))
    (tmp_path / "scores.csv").write_text(SCORES)
    assert read_scores(tmp_path / "scores.csv").strings("frame").tolist() == ["12", None]


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("clip_000010_0.jpg", 10), ("clip_000010_11.jpg", 10), ("00012.jpg", 12), ("frame7.jpg", 7),
        ("clip_3.jpg", 3), ("id0_0001_3.jpg", 3), ("v12_frame.jpg", None),
    ],
)  # fmt: skip
def test_the_number_of_a_face_is_not_that_of_its_frame(
    tmp_path: Path, image: Image, name: str, frame: int | None
) -> None:
    video = "id0_0001" if name.startswith("id0") else "clip"
    (tmp_path / "real" / video).mkdir(parents=True)
    (tmp_path / "real" / video / name).write_bytes(image(1))
    assert FaceSet.open(tmp_path).columns("frame")["frame"].to_pylist() == [frame]
