"""Write the table of models in docs/detectors/index.md anew, out of the registry.

python tools/models_table.py
"""

from __future__ import annotations

from pathlib import Path

from verovolto.core.files import write_text
from verovolto.detectors.registry import markdown_table

INDEX = Path(__file__).parents[1] / "docs" / "detectors" / "index.md"
HEADING = "## All models\n\n"

if __name__ == "__main__":
    before = INDEX.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    write_text(INDEX, f"{before}\n\n{HEADING}{markdown_table()}")
