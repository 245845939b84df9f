"""Read the C2PA manifest of one file, as a program of its own: `python -I c2pa_reader.py FILE [ANCHORS.pem]`.

Hostile manifests have crashed the library, which is not Python's: so nothing but this process dies of one. It imports
nothing of verovolto. Prints one JSON object: `problem` is what is wrong with a manifest; `not_read` says why nothing is
known of it, such as a format that the library does not know, or certificates that cannot be read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Nothing is fetched: no manifest from elsewhere, no revocation list.
SETTINGS: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
    "core": {"allowed_network_hosts": []},
}


def read(file: str, anchors: str | None) -> dict[str, Any]:
    """What the library says of a file: `state` None where it holds no manifest."""
    import c2pa

    settings = SETTINGS
    if anchors is not None:
        settings = settings | {"trust": {"trust_anchors": Path(anchors).read_text(encoding="utf-8")}}
    context = c2pa.Context(c2pa.Settings.from_dict(settings))
    with Path(file).open("rb") as stream:
        try:
            reader = c2pa.Reader.try_create(None, stream, context=context)
        except (c2pa.C2paError.NotSupported, c2pa.C2paError.Io):
            raise
        except c2pa.C2paError as error:
            return {"problem": f"{type(error).__name__}: {error}"}
        if reader is None:
            return {"state": None}
        manifest = reader.get_active_manifest() or {}
        results = reader.get_validation_results() or {}
        failures = [each.get("code") for each in results.get("activeManifest", {}).get("failure", [])]
        return {
            "state": reader.get_validation_state(),
            "signer": (manifest.get("signature_info") or {}).get("common_name")
            or (manifest.get("signature_info") or {}).get("issuer"),
            "made_by": manifest.get("claim_generator")
            or ", ".join(str(each.get("name")) for each in manifest.get("claim_generator_info") or []),
            "failures": [code for code in failures if code],
        }


def main() -> None:
    """Answer for the file on the command line."""
    try:
        answer = read(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    except Exception as error:
        answer = {"not_read": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
