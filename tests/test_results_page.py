"""The code of docs/results.md runs."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "results.md").read_text()


async def test_the_code_of_the_page_runs_and_its_report_survives_the_wire():
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    for name in ("report", "storage"):
        value = names[name]
        assert type(value).from_json(value.to_json()) == value
