"""What the documents say is what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tandem import costs
from tandem.catalog import prices
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.observing import table as table_of_rules
from tandem.ops import command_table
from tandem.settings.schema import Settings
from tandem.settings.table import replaced, rows

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_table_of_settings_is_current() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    assert replaced(text) == text, "run `make docs`"


def test_the_table_of_commands_is_current() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    assert command_table.replaced(text) == text, "run `make docs`"


def test_the_table_of_rules_is_current() -> None:
    text = (ROOT / "docs/alarms.md").read_text()
    assert table_of_rules.replaced(text) == text, "run `make docs`"


def test_every_command_has_its_section_with_its_exit_status() -> None:
    sections = dict(
        re.findall(r"^## (\w+):.*?\n(.*?)(?=^## |\Z)", (ROOT / "docs/operations.md").read_text(), re.M | re.S)
    )
    names = {name.split()[0] for name, _what in command_table.commands()}
    assert set(sections) == names
    assert [name for name, text in sections.items() if "Exit status:" not in text] == []


def test_every_setting_is_documented() -> None:
    undocumented = [key for key, _, _, what in rows() if len(what) < 10]
    assert undocumented == []


def test_a_document_without_marks_is_not_rewritten() -> None:
    with pytest.raises(ValueError, match="no <!-- settings"):
        replaced("# nothing here")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_file_that_a_recipe_names_is_there() -> None:
    named = set(re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:md|py|toml))`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert len(named) > 40
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_word_of_the_code_that_a_recipe_names_is_in_a_file_that_one_names() -> None:
    text = re.sub(r"\s+", " ", (ROOT / "CONTRIBUTING.md").read_text())
    words = set(re.findall(r"`([A-Z_]{4,})`", text)) - {"KEY"}
    files = [ROOT / path for path in re.findall(r"`([\w./-]+\.py)`", text)]
    assert len(words) >= 6
    assert [word for word in words if not any(re.search(rf"\b{word}\b", file.read_text()) for file in files)] == []


def test_the_chain_of_timeouts_in_the_architecture_is_the_default() -> None:
    timeouts = Settings(region="us-east-1").timeouts
    text = (ROOT / "docs/architecture.md").read_text()
    assert (
        f"client {timeouts.client_seconds} < load balancer idle {timeouts.load_balancer_idle_seconds} < "
        f"edge keep-alive {timeouts.edge_keepalive_seconds} < server keep-alive {timeouts.server_keepalive_seconds}"
    ) in text
    assert (
        f"longest answer {timeouts.longest_generation_seconds} <= deregistration delay "
        f"{timeouts.deregistration_delay_seconds} <= termination grace {timeouts.termination_grace_seconds}"
    ) in text


@pytest.mark.parametrize("egress", ["natPerZone", "singleNat"])
def test_the_price_of_the_way_out_is_the_catalogs(egress: str) -> None:
    settings = Settings.model_validate({"region": "us-east-1", "network": {"egress": egress}})
    (nat,) = [item for item in costs.fixed_costs(settings) if item.name.startswith("NAT")]
    first_start = 60 * prices.parts("us-east-1").nat_gateway_gb
    month = nat.usd_per_hour * prices.HOURS_PER_MONTH
    row = f"| `{egress}` | ${nat.usd_per_hour:.3f} | ${first_start:.2f} | ${month:.2f} |"
    assert row in (ROOT / "docs/decisions/0003-way-out.md").read_text()


def test_the_quota_in_the_readme_is_that_of_the_test_stack() -> None:
    assert f"{INSTANCE_TYPES['g6.12xlarge'].vcpus} vCPUs of spot" in re.sub(
        r"\s+", " ", (ROOT / "README.md").read_text()
    )
