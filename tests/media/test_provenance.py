"""What a file says of itself: EXIF, tags, and C2PA manifests, read in a process that may die."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import ExifTags, Image

from tests.faces.bright import clip
from verovolto.media import Limits, c2pa_reader, provenance
from verovolto.media.provenance import c2pa_of, provenance_of


def jpeg(exif: Image.Exif | None = None) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(out, "JPEG", **({} if exif is None else {"exif": exif}))
    return out.getvalue()


def test_exif_of_a_camera(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Kodak", "Kodak Brownie"
    exif[ExifTags.Base.Software] = "darkroom\0" + "x" * 500
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:01:31 12:00:00"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    (tmp_path / "a.jpg").write_bytes(jpeg(exif))
    found = provenance_of(tmp_path / "a.jpg", Limits())
    assert (found.camera, found.created, found.has_position) == ("Kodak Brownie", "2026:01:31 12:00:00", True)
    assert (
        found.software is not None and found.software.startswith("darkroom x") and len(found.software) == 200
    )
    assert "N" not in json.dumps(found.to_dict()).replace("Brownie", "")  # the position itself is not told


def test_tags_of_a_video(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", frames=2)
    with av.open(str(source)) as given, av.open(str(tmp_path / "b.mkv"), "w", format="matroska") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        out.metadata.update({"make": "Bolex", "model": "H16", "creation_time": "2026-01-31T12:00:00Z"})
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    found = provenance_of(tmp_path / "b.mkv", Limits())
    assert found.camera is not None and "Bolex" in found.camera and "H16" in found.camera
    assert found.c2pa is not None and found.c2pa.state == "none"


def test_a_file_that_says_nothing_or_nonsense(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    found = provenance_of(tmp_path / "a.jpg", Limits())
    assert (found.camera, found.software, found.created, found.has_position) == (None, None, None, False)
    (tmp_path / "b.jpg").write_bytes(jpeg()[:40])
    assert provenance_of(tmp_path / "b.jpg", Limits()).camera is None
    (tmp_path / "empty").write_bytes(b"")
    assert c2pa_of(tmp_path / "empty").state == "none"
    assert c2pa_of(tmp_path / "nowhere").state == "not read"


@pytest.mark.parametrize("at", [0, 13, 14, 15, 16])
def test_the_label_is_found_across_blocks(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_BLOCK", 16)
    (tmp_path / "a").write_bytes(bytes(at) + b"c2pa" + bytes(20))
    (tmp_path / "b").write_bytes(bytes(at) + b"c2p" + bytes(20))
    assert provenance._mentions_c2pa(tmp_path / "a") and not provenance._mentions_c2pa(tmp_path / "b")


def certificate(name: str, issuer: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
    """A certificate and its key; without an issuer one that signs others."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now, root = (
        ec.generate_private_key(ec.SECP256R1()),
        datetime.datetime.now(datetime.UTC),
        issuer is None,
    )
    oids = x509.oid.NameOID
    subject = x509.Name([x509.NameAttribute(oid, name) for oid in (oids.COMMON_NAME, oids.ORGANIZATION_NAME)])
    issuing, signing = (subject, key) if issuer is None else (issuer[0].subject, issuer[1])
    day = datetime.timedelta(days=1)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuing).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + 30 * day)
        .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .add_extension(x509.KeyUsage(not root, False, False, False, False, root, root, False, False), critical=True)
    )  # fmt: skip
    if not root:
        usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(signing, hashes.SHA256()), key


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a signed picture, and the certificate that vouches for its signer."""
    c2pa = pytest.importorskip("c2pa", reason="the extra provenance is not installed")
    from cryptography.hazmat.primitives import serialization

    folder = tmp_path_factory.mktemp("signed")
    root = certificate("Test Root")
    leaf = certificate("Test Signer", root)
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(root[0].public_bytes(pem))
    key = leaf[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = leaf[0].public_bytes(pem) + root[0].public_bytes(pem)
    signer = c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(alg=b"es256", sign_cert=chain, private_key=key, ta_url=None)
    )
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": source}]}
    manifest = {
        "claim_generator_info": [{"name": "a test", "version": "1"}],
        "assertions": [{"label": "c2pa.actions", "data": actions}],
    }
    out = io.BytesIO()
    c2pa.Builder(json.dumps(manifest)).sign(signer, "image/jpeg", io.BytesIO(jpeg()), out)
    (folder / "a.jpg").write_bytes(out.getvalue())
    return folder


def test_signed_by_whom_somebody_vouches_for(signed: Path) -> None:
    found = c2pa_of(signed / "a.jpg", signed / "root.pem")
    assert (found.state, found.signer, found.made_by, found.why) == ("trusted", "Test Signer", "a test", None)


def test_signed_by_nobody_knows_whom(signed: Path) -> None:
    assert c2pa_of(signed / "a.jpg").state == "valid, signer not known"


def test_signed_and_changed(signed: Path, tmp_path: Path) -> None:
    content = bytearray((signed / "a.jpg").read_bytes())
    content[-20] ^= 1
    (tmp_path / "a.jpg").write_bytes(content)
    found = c2pa_of(tmp_path / "a.jpg", signed / "root.pem")
    assert found.state == "broken" and found.why is not None and "mismatch" in found.why


def test_what_says_nothing_of_the_manifest_does_not_make_it_broken(signed: Path, tmp_path: Path) -> None:
    """Bytes that spell the label by chance in a format without manifests, and certificates that are none."""
    (tmp_path / "a.mkv").write_bytes(bytes.fromhex("1a45dfa3") + bytes(100) + b"c2pa")
    found = c2pa_of(tmp_path / "a.mkv")
    assert found.state == "not read" and found.why is not None and "unsupported" in found.why
    (tmp_path / "garbage.pem").write_text("no certificate")
    for anchors in (tmp_path / "garbage.pem", tmp_path / "nowhere.pem"):
        assert c2pa_of(signed / "a.jpg", anchors).state == "not read"


@pytest.mark.parametrize(
    ("program", "why"),
    [("import os; os.abort()", "ended with -6"), ("import time; time.sleep(60)", "longer than"),
     ("print(1/0)", "ended with 1")],
)  # fmt: skip
def test_a_reader_that_dies_or_hangs_costs_nothing(
    program: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reader.py").write_text(program)
    (tmp_path / "a.jpg").write_bytes(jpeg() + b"c2pa")
    monkeypatch.setattr(provenance, "READER", tmp_path / "reader.py")
    monkeypatch.setattr(provenance, "TIME_LIMIT_S", 2.0)
    monkeypatch.setattr(provenance, "find_spec", lambda name: object())
    found = c2pa_of(tmp_path / "a.jpg")
    assert found.state == "not read" and found.why is not None and why in found.why


def test_without_the_extra_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg() + b"c2pa")
    monkeypatch.setattr(provenance, "find_spec", lambda name: None)
    found = c2pa_of(tmp_path / "a.jpg")
    assert found.state == "not read" and found.why is not None and "verovolto[provenance]" in found.why


def test_nothing_is_fetched() -> None:
    verify = c2pa_reader.SETTINGS["verify"]
    assert not verify["remote_manifest_fetch"] and not verify["ocsp_fetch"]
