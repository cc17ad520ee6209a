"""table: every verb, with its config class, its function and what it needs.

The command line, recipes and Python all use this table; a verb's modules are imported when it is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from afs import plugins
from afs.config import Config
from afs.errors import UsageError
from afs.types import Artifact, Dataset, Report

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from afs.runs import Run
    from afs.workspace import Workspace

    OpenRun = Callable[..., AbstractContextManager[Run]]

Needs = Literal["run", "workspace", "nothing"]


class Verb(NamedTuple):
    """One verb: `function(config, run)`, `function(config, workspace)` or `function(config)`, by what it needs."""

    config: str
    function: str
    help: str
    needs: Needs = "run"
    preview: str = ""
    """`function(config, workspace)` that says what the verb would do and starts nothing: its `--dry-run`."""
    follow: str = ""
    """`function(config)` that all processes but the first run instead when `torchrun` started several."""


VERBS: dict[str, Verb] = {
    "ingest": Verb("afs.ingest:IngestConfig", "afs.ingest:ingest_share", "read a source into records"),
    "curate": Verb(
        "afs.curate:CurateConfig",
        "afs.curate:curate_share",
        "turn records into a dataset; dropped records are kept and counted",
    ),
    "curate arms": Verb(
        "afs.data_selection_search:ArmsConfig",
        "afs.data_selection_search:search_arms",
        "find the best selection method and size by training",
        "workspace",
    ),
    "data list": Verb(
        "afs.data.browse:ListConfig", "afs.data.browse:list_sets", "list stored records and datasets", "workspace"
    ),
    "data show": Verb("afs.data.browse:ShowConfig", "afs.data.browse:show", "show records", "workspace"),
    "data stats": Verb("afs.data.browse:StatsConfig", "afs.data.browse:stats", "statistics of a dataset", "workspace"),
    "data validate": Verb(
        "afs.curate.format_checks:ValidateConfig",
        "afs.curate.format_checks:validate",
        "list every problem with its place",
        "workspace",
    ),
    "data diff": Verb(
        "afs.data.diff:DiffConfig",
        "afs.data.diff:compare_sets",
        "records added, removed and changed between two datasets",
        "workspace",
    ),
    "data push": Verb(
        "afs.data.push:PushConfig", "afs.data.push:push_dataset", "upload a dataset to a hub", "workspace"
    ),
    "data export": Verb(
        "afs.data.export:ExportConfig",
        "afs.data.export:export_dataset",
        "export a dataset in another format",
        "workspace",
    ),
    "data report": Verb(
        "afs.data.report:ReportConfig",
        "afs.data.report:write_report",
        "write a dataset's report as one HTML page",
        "workspace",
    ),
    "data redactions": Verb(
        "afs.data.browse:RedactionsConfig", "afs.data.browse:redactions", "review redactions", "workspace"
    ),
    "init": Verb("afs.init:InitConfig", "afs.init:init", "create a workspace", "nothing"),
    "doctor": Verb(
        "afs.doctor:DoctorConfig",
        "afs.doctor:doctor",
        "show what this machine can do, and how to get what is missing",
        "nothing",
    ),
    "quickstart": Verb(
        "afs.quickstart:QuickstartConfig",
        "afs.quickstart:quickstart",
        "run the full pipeline on this machine, in minutes",
        "nothing",
    ),
    "expert new": Verb(
        "afs.expert:ExpertNewConfig",
        "afs.expert:expert_new",
        "look at code, logs and documents and write an expert's recipe",
        "workspace",
    ),
    "expert report": Verb(
        "afs.expert.outcome_page:ExpertReportConfig",
        "afs.expert.outcome_page:write_report",
        "write an expert's outcome as one HTML page",
    ),
    "generate": Verb(
        "afs.generate:GenerateConfig",
        "afs.generate:generate",
        "make verified records by a pack or a teacher; rerun to resume",
        preview="afs.generate.dry_run:preview",
    ),
    "generate status": Verb(
        "afs.generate.status:StatusConfig",
        "afs.generate.status:campaign_status",
        "how a campaign stands: cells, models, money",
        "workspace",
    ),
    "generate review": Verb(
        "afs.generate.review:ReviewConfig",
        "afs.generate.review:review",
        "look at accepted and rejected answers and decide about each",
        "workspace",
    ),
    "generate report": Verb(
        "afs.generate.report:CampaignReportConfig",
        "afs.generate.report:write_report",
        "write a campaign's funnel and money as one page",
        "workspace",
    ),
    "generate export": Verb(
        "afs.generate.offline_batches:PiecesExportConfig",
        "afs.generate.offline_batches:export_open",
        "write open pieces as requests for an offline batch engine",
    ),
    "generate import": Verb(
        "afs.generate.offline_batches:PiecesImportConfig",
        "afs.generate.offline_batches:import_answers",
        "take in the answers of an offline batch engine",
    ),
    "plan": Verb(
        "afs.train.run_estimate:PlanConfig",
        "afs.train.run_estimate:plan",
        "estimate memory, time and cost of a training run",
        "workspace",
    ),
    "train": Verb(
        "afs.train:TrainConfig",
        "afs.train:train",
        "train a model on a dataset; rerun to resume",
        preview="afs.train.dry_run:preview",
        follow="afs.train.backends.ranks:follow",
    ),
    "train resume": Verb(
        "afs.train.resume_and_compare_commands:ResumeConfig",
        "afs.train.resume_and_compare_commands:resume",
        "resume an interrupted run by its id",
        "workspace",
    ),
    "train compare": Verb(
        "afs.train.resume_and_compare_commands:CompareConfig",
        "afs.train.resume_and_compare_commands:compare",
        "compare training runs",
        "workspace",
    ),
    "ship": Verb(
        "afs.export:ShipConfig",
        "afs.export:ship",
        "merge, convert, quantize, check, deploy and smoke-test a model",
        preview="afs.export.ship_preview:preview",
    ),
    "models list": Verb(
        "afs.registry.registry_commands:ModelsListConfig",
        "afs.registry.registry_commands:list_models",
        "list registered models",
        "workspace",
    ),
    "models show": Verb(
        "afs.registry.registry_commands:ModelsShowConfig",
        "afs.registry.registry_commands:show",
        "show everything known about a model",
        "workspace",
    ),
    "models register": Verb(
        "afs.registry.registry_commands:ModelsRegisterConfig",
        "afs.registry.registry_commands:register",
        "register an artifact under a name",
        "workspace",
    ),
    "models import": Verb(
        "afs.export.model_import:ModelImportConfig",
        "afs.export.model_import:import_model",
        "store a base, an adapter or a GGUF made elsewhere",
    ),
    "models promote": Verb(
        "afs.registry.registry_commands:PromoteConfig",
        "afs.registry.registry_commands:promote",
        "promote a version to champion",
        "workspace",
    ),
    "models deprecate": Verb(
        "afs.registry.registry_commands:DeprecateConfig",
        "afs.registry.registry_commands:deprecate",
        "mark a version as deprecated",
        "workspace",
    ),
    "models rollback": Verb(
        "afs.registry.registry_commands:RollbackConfig",
        "afs.registry.registry_commands:rollback",
        "restore the previous champion",
        "workspace",
    ),
    "models verify": Verb(
        "afs.registry.integrity:ModelsVerifyConfig",
        "afs.registry.integrity:verify",
        "check the registry and re-hash stored models",
        "workspace",
    ),
    "models gc": Verb(
        "afs.registry.garbage:GcConfig",
        "afs.registry.garbage:gc",
        "remove models that nothing refers to",
        "workspace",
    ),
    "models trace": Verb(
        "afs.registry.trace_command:TraceConfig",
        "afs.registry.trace_command:trace",
        "trace a model to its samples, or a sample to models",
        "workspace",
    ),
    "models card": Verb(
        "afs.registry.model_card:CardConfig", "afs.registry.model_card:card", "generate the model card", "workspace"
    ),
    "models push": Verb(
        "afs.registry.model_push:ModelsPushConfig",
        "afs.registry.model_push:push_model",
        "upload a model to a hub",
        "workspace",
    ),
    "models mlflow": Verb(
        "afs.registry.mlflow:MlflowConfig",
        "afs.registry.mlflow:export_model",
        "export a model to an MLflow server",
        "workspace",
    ),
    "models backup": Verb(
        "afs.registry.backup:BackupConfig",
        "afs.registry.backup:backup",
        "back up the registry and everything it refers to",
        "workspace",
    ),
    "models restore": Verb(
        "afs.registry.backup:RestoreConfig",
        "afs.registry.backup:restore",
        "restore a backup into an empty workspace",
        "workspace",
    ),
    "eval run": Verb(
        "afs.evaluate:EvalRunConfig", "afs.evaluate:eval_run", "measure models on a suite, with their base as baseline"
    ),
    "eval compare": Verb(
        "afs.evaluate.report_commands:EvalCompareConfig",
        "afs.evaluate.report_commands:eval_compare",
        "compare two models measured on the same suite",
        "workspace",
    ),
    "eval report": Verb(
        "afs.evaluate.report_commands:EvalReportConfig",
        "afs.evaluate.report_commands:eval_report",
        "write a report as HTML, Markdown, JSON or a picture",
        "workspace",
    ),
    "eval rescore": Verb(
        "afs.evaluate.rescore:RescoreConfig",
        "afs.evaluate.rescore:rescore",
        "score stored answers again with the current checkers",
    ),
    "eval import": Verb(
        "afs.evaluate.import_answers:ImportAnswersConfig",
        "afs.evaluate.import_answers:import_results",
        "import answers collected by another program",
    ),
    "eval history": Verb(
        "afs.evaluate.history:HistoryConfig",
        "afs.evaluate.history:eval_history",
        "list every measured version of an expert",
        "workspace",
    ),
    "eval note": Verb(
        "afs.evaluate.history:NoteConfig",
        "afs.evaluate.history:eval_note",
        "attach a note to a report",
        "workspace",
    ),
    "eval leaderboard": Verb(
        "afs.evaluate.leaderboard:LeaderboardConfig",
        "afs.evaluate.leaderboard:eval_leaderboard",
        "rank all models measured on a suite",
        "workspace",
    ),
    "eval judge": Verb(
        "afs.evaluate.judging:JudgeConfig", "afs.evaluate.judging:eval_judge", "have models judge a report's answers"
    ),
    "eval screenshot": Verb(
        "afs.evaluate.screenshots.golden:ScreenshotsConfig",
        "afs.evaluate.screenshots.golden:eval_screenshot",
        "compare a frame, a page or a terminal with its reference screenshot",
        "workspace",
    ),
    "eval accept": Verb(
        "afs.evaluate.screenshots.golden:AcceptConfig",
        "afs.evaluate.screenshots.golden:eval_accept",
        "accept a new reference screenshot, with a reason",
        "workspace",
    ),
    "eval gate": Verb("afs.evaluate.gate:GateConfig", "afs.evaluate.gate:eval_gate", "decide whether a model may ship"),
    "eval lint": Verb(
        "afs.evaluate.suite_lint:LintConfig",
        "afs.evaluate.suite_lint:eval_lint",
        "test a suite's scorers on answers of known quality",
        "workspace",
    ),
    "route train": Verb(
        "afs.serve:RouteTrainConfig", "afs.serve:route_train", "train the router on the experts' questions"
    ),
    "route eval": Verb(
        "afs.serve:RouteEvalConfig", "afs.serve:route_eval", "measure the router on held-out questions", "workspace"
    ),
    "route explain": Verb(
        "afs.serve:RouteExplainConfig", "afs.serve:route_explain", "why a question goes to which expert", "workspace"
    ),
    "ask": Verb("afs.serve:AskConfig", "afs.serve:ask", "ask the council one question", "workspace"),
    "chat": Verb("afs.serve:ChatConfig", "afs.serve:chat", "talk with the council in a terminal", "workspace"),
    "council store": Verb(
        "afs.serve:CouncilStoreConfig", "afs.serve:council_store", "store today's council as one artifact"
    ),
    "feedback": Verb(
        "afs.serve:FeedbackConfig", "afs.serve:feedback", "how satisfied users are with the council", "workspace"
    ),
    "feedback rate": Verb("afs.serve:FeedbackRateConfig", "afs.serve:feedback_rate", "rate an answer", "workspace"),
    "feedback records": Verb(
        "afs.serve:FeedbackRecordsConfig",
        "afs.serve:feedback_records",
        "turn rated conversations into records and routing labels",
    ),
    "feedback targets": Verb(
        "afs.serve:FeedbackTargetsConfig",
        "afs.serve:feedback_targets",
        "write a campaign of tasks like those answered wrongly",
        "workspace",
    ),
    "serve": Verb(
        "afs.serve:ServeConfig", "afs.serve:serve", "serve the council through an OpenAI-compatible API", "workspace"
    ),
    "mcp": Verb("afs.serve:McpConfig", "afs.serve:mcp", "offer checking tools and the council to agents", "nothing"),
    "dashboard": Verb(
        "afs.dashboard:DashboardConfig",
        "afs.dashboard:serve_dashboard",
        "show the workspace in a browser: what runs, what it costs, what is wrong",
        "workspace",
    ),
    "dashboard export": Verb(
        "afs.dashboard:CopyConfig",
        "afs.dashboard:export_pages",
        "write a static copy of the dashboard",
        "workspace",
    ),
    "dashboard alerts": Verb(
        "afs.dashboard:AlertsConfig",
        "afs.dashboard:list_alerts",
        "list what needs attention, as records",
        "workspace",
    ),
    "session": Verb(
        "afs.dashboard:SessionConfig",
        "afs.dashboard:show_session",
        "show all running work: dollars an hour, time left, log",
        "workspace",
    ),
    "top": Verb(
        "afs.dashboard:TopConfig", "afs.dashboard:show_top", "show runs and costs in the terminal", "workspace"
    ),
    "cloud offers": Verb(
        "afs.cloud.launch_command:OffersConfig",
        "afs.cloud.launch_command:cloud_offers",
        "show machines that can be rented, by what the job costs there",
        "workspace",
    ),
    "cloud launch": Verb(
        "afs.cloud.launch_command:LaunchConfig",
        "afs.cloud.launch_command:cloud_launch",
        "train on a rented machine: rent, run, bring back, destroy; rerun to resume",
    ),
    "cloud list": Verb(
        "afs.cloud.rental_commands:CloudListConfig",
        "afs.cloud.rental_commands:cloud_list",
        "show what runs or may still be billed",
        "workspace",
    ),
    "cloud logs": Verb(
        "afs.cloud.rental_commands:CloudLabelConfig",
        "afs.cloud.rental_commands:cloud_logs",
        "show what a machine printed",
        "workspace",
    ),
    "cloud pull": Verb(
        "afs.cloud.rental_commands:CloudLabelConfig",
        "afs.cloud.rental_commands:cloud_pull",
        "copy events and checkpoints here now",
        "workspace",
    ),
    "cloud destroy": Verb(
        "afs.cloud.rental_commands:DestroyConfig",
        "afs.cloud.rental_commands:cloud_destroy",
        "destroy one machine and look until it is gone",
        "workspace",
    ),
    "cloud reap": Verb(
        "afs.cloud.rental_commands:ReapConfig",
        "afs.cloud.rental_commands:cloud_reap",
        "destroy what nobody looks after, and show what is billed",
        "workspace",
    ),
    "cloud costs": Verb(
        "afs.cloud.rental_commands:CostsConfig",
        "afs.cloud.rental_commands:cloud_costs",
        "what rented machines have cost, by job, session or provider",
        "workspace",
    ),
    "providers check": Verb(
        "afs.doctor.providers_check:CheckConfig",
        "afs.doctor.providers_check:check_providers",
        "make one real call per model: latency, tokens, cost",
        "workspace",
    ),
    "run": Verb(
        "afs.pipeline:RunConfig",
        "afs.pipeline:run_recipe",
        "run a recipe: verbs in order, skipping finished steps",
        "workspace",
    ),
    "verify": Verb(
        "afs.verify_command:VerifyConfig",
        "afs.verify_command:verify_answers",
        "judge one answer, or a file of them, with the pack's check",
        "nothing",
    ),
}


def find_workspace(folder: Path | None = None) -> Workspace:
    """The workspace of a folder, or of this one; loaded late, for commands that need none."""
    return plugins.Late["type[Workspace]"]("afs.workspace:Workspace").load().find(folder)


def config_class(verb: Verb) -> type[Config]:
    """The config class of a verb."""
    return plugins.Late[type[Config]](verb.config).load()


def do(
    name: str, config: Config, workspace: Workspace | None = None, *, salt: Mapping[str, object] | None = None
) -> object:
    """Run a verb. With the `salt` of a recipe, which is part of the digest its run is found by, every verb has a run."""
    verb = VERBS[name]
    if verb.follow and int(os.environ.get("RANK", "0")):
        return plugins.Late[Callable[[Config], object]](verb.follow).load()(config)
    plugins.require(config.late_needs())
    function = plugins.Late[Callable[..., object]](verb.function).load()
    if verb.needs == "nothing" and salt is None:
        return function(config)
    place = workspace or find_workspace()
    if verb.needs == "workspace" and salt is None:
        return function(config, place)
    open_run = plugins.Late["OpenRun"]("afs.runs:open_run").load()
    with open_run(place, name, config, salt=salt or {}) as run:
        subject = {"run": (run,), "workspace": (place,), "nothing": ()}[verb.needs]
        result = function(config, *subject)
        run.finish("done", result=_result_text(result))
        return result


def preview(name: str, config: Config, workspace: Workspace | None = None) -> object:
    """What a verb would do: its `--dry-run`."""
    verb = VERBS[name]
    if not verb.preview:
        raise UsageError(f"afs {name} has no --dry-run")
    function = plugins.Late[Callable[..., object]](verb.preview).load()
    return function(config, workspace or find_workspace())


def _result_text(result: object) -> str:
    """The result of a run as written to its state."""
    if isinstance(result, Dataset):
        return f"{result.kind}:{result.ref}"
    if isinstance(result, Artifact):
        return f"artifact:{result.ref}"
    return f"report:{result.ref}" if isinstance(result, Report) else ""
