"""What is wrong is said in one line before the first call; what a model does not take is found by one small call."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest

from afs import jsonl, verbs
from afs.errors import ConfigError, UsageError
from afs.generate import GenerateConfig
from afs.model_calls.ledger_reader import bills, reading
from afs.model_calls.probe import FILE
from afs.runs import list_runs
from afs.types import Dataset
from afs.workspace import Workspace

from .conftest import PROBE

PRICE = "price = { input = 1.0, output = 1.0 }\n"


def make(workspace: Workspace, **fields: object) -> object:
    table = {"domain": "sums", "name": "c", "families": [{"family": "add", "count": 5}], "teacher": "box:m", **fields}
    return verbs.do("generate", msgspec.convert(table, GenerateConfig), workspace)


def point_at(workspace: Workspace, url: str, more: str = PRICE) -> None:
    text = f'[providers.box]\nkind = "openai"\nbase_url = "{url}"\n{more}'
    (workspace.root / "providers.toml").write_text(text)


def notices(workspace: Workspace) -> list[str]:
    rows = jsonl.read(list_runs(workspace)[-1].folder / "events.jsonl", dict[str, object])
    return [str(row["text"]) for row in rows if row["event"] == "notice"]


@pytest.mark.parametrize(
    ("fields", "settings", "problem"),
    [
        ({"teacher": "box:mm"}, "", r"box:mm: the server has no such model; did you mean 'm'"),
        ({"teacher": "bx:m"}, "", r"is called 'bx'; did you mean 'box'"),
        ({"repair": True}, "", r"repair: .*attempts = 2"),
        ({"budget_usd": -1.0}, "", r"budget_usd: want more than 0"),
        ({"budget_usd": 0.0001}, "", r"one call of sums/add costs up to \$0.00\d\d, and \$0.0001 is left"),
        (
            {"budget_usd": 0.003, "pilot": 5},
            "",
            r"the pilot costs up to \$0.00\d\d, and \$0.0030 is left.*lower `pilot`",
        ),
        ({}, "tokens_per_minute = 100\n", r"1,024 tokens, and tokens_per_minute of box:m is 100"),
        ({"batch_hours": 1.0, "pilot": 5}, "", r"a pilot forecasts calls at the full price"),
        ({"teacher": "box:old"}, '[models."box:old"]\nends = "2026-01-31"\n', r"switched off on 2026-01-31"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    workspace: Workspace, chat_server, fields, settings: str, problem: str
) -> None:
    chat_server.models = ["m", "m-large", "old"]
    point_at(workspace, chat_server.url, PRICE + settings)
    with pytest.raises(UsageError, match=problem) as caught:
        make(workspace, **fields)
    assert "\n" not in str(caught.value) and not chat_server.asked


def test_a_template_with_an_unknown_field(workspace: Workspace, tmp_path: Path, chat_server) -> None:
    point_at(workspace, chat_server.url)
    path = tmp_path / "mine.toml"
    path.write_text('version = "1"\nprompt = "{prompt}"\nsystm = "be brief"\n')
    with pytest.raises(ConfigError, match=r"systm.*did you mean 'system'"):
        make(workspace, template=str(path))
    assert not chat_server.asked


def test_a_field_that_a_model_does_not_take_is_found_once_and_left_out(workspace: Workspace, chat_server) -> None:
    point_at(workspace, chat_server.url)
    chat_server.refused = "temperature"
    made = make(workspace)
    assert isinstance(made, Dataset) and made.splits[0].count == 5
    assert chat_server.asked[PROBE] == 2, "refused, then taken without it"
    assert "box:m does not take temperature, so it is not sent" in notices(workspace)
    assert (workspace.root / FILE).exists()
    make(workspace, name="d")
    assert chat_server.asked[PROBE] == 2 and chat_server.asked.total() == 2 + 5 + 5
    with reading(workspace.root / "campaigns" / "c" / "calls.db") as database:
        (bill,) = bills(database)
    assert bill.calls == 7 and bill.failed == 1 and bill.cost == 2 * 0 + chat_server.bill - _bill(workspace, "d")


def _bill(workspace: Workspace, name: str) -> int:
    with reading(workspace.root / "campaigns" / name / "calls.db") as database:
        return bills(database)[0].cost


def test_a_field_without_which_a_campaign_would_be_another_refuses_it(workspace: Workspace, chat_server) -> None:
    point_at(workspace, chat_server.url)
    chat_server.refused = "reasoning_effort"
    with pytest.raises(
        ConfigError, match=r"'reasoning_effort' is not supported.*Nothing was asked of it but this probe"
    ):
        make(workspace, sampling={"effort": "low"})
    assert set(chat_server.asked) == {PROBE}


def test_a_node_that_answers_as_another_model_is_named_before_the_campaign(workspace: Workspace, chat_server) -> None:
    node = f'[nodes.gpu]\nurl = "{chat_server.url}"\nkind = "openai"\nmodels = ["din"]\n'
    (workspace.root / "nodes.toml").write_text(node)
    with pytest.raises(ConfigError, match=r"gpu:din: m-1 answered, not din.*Nothing was asked of it but this probe"):
        make(workspace, teacher="nodes:din")
    assert set(chat_server.asked) == {PROBE}


def test_a_server_that_is_down_says_nothing_of_its_model(workspace: Workspace, chat_server) -> None:
    point_at(workspace, chat_server.url)
    chat_server.fault = lambda number: (503, b"{}", {}) if number == 1 else None
    made = make(workspace)
    assert isinstance(made, Dataset) and made.splits[0].count == 5
    assert not (workspace.root / FILE).exists(), "it is probed again by the next run"


def test_a_model_that_ends_soon_is_named(workspace: Workspace, chat_server, monkeypatch: pytest.MonkeyPatch) -> None:
    day = (datetime.date.today() + datetime.timedelta(days=9)).isoformat()
    point_at(workspace, chat_server.url, f'{PRICE}[models."box:m"]\nends = "{day}"\n')
    make(workspace)
    assert f"box:m is switched off on {day}, in 9 days" in notices(workspace)
