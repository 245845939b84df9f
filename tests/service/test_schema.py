"""The API against its own description: no answer of the kind 5xx, none that is not described.

Run with VEROVOLTO_SCHEMATHESIS, the path of the program schemathesis; `tools/optional.sh` does.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.service.test_jobs import Server

PROGRAM = os.environ.get("VEROVOLTO_SCHEMATHESIS")


@pytest.mark.skipif(not PROGRAM, reason="VEROVOLTO_SCHEMATHESIS does not say where schemathesis is")
def test_every_answer_is_described(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        address = f"{str(server.client.base_url).rstrip('/')}/openapi.json"
        checks = (
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        )
        command = [str(PROGRAM), "run", address, "--checks", checks, "--max-examples", "30", "--seed", "1"]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    finally:
        server.kill()
