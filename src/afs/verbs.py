"""table: every verb: where its config class and its function live, and what it needs.

The command line, recipes and Python all go through here; nothing is imported until its verb is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from afs import plugins, runs
from afs.config import Config
from afs.errors import UsageError
from afs.types import Artifact, Dataset, Report
from afs.workspace import Workspace

Needs = Literal["run", "workspace", "nothing"]


class Verb(NamedTuple):
    """One verb: `function(config, run)`, `function(config, workspace)` or `function(config)`, by what it needs."""

    config: str
    function: str
    help: str
    needs: Needs = "run"
    preview: str = ""
    """`function(config, workspace)` that says what the verb would do and begins nothing: its `--dry-run`."""


VERBS: dict[str, Verb] = {
    "ingest": Verb("afs.ingest:IngestConfig", "afs.ingest:ingest", "read a source into records"),
    "curate": Verb("afs.curate:CurateConfig", "afs.curate:curate", "records -> a dataset, every drop kept and counted"),
    "curate arms": Verb(
        "afs.selection_search:ArmsConfig",
        "afs.selection_search:search_arms",
        "sizes × ways of choosing, by training and halving",
        "workspace",
    ),
    "data list": Verb(
        "afs.data.browse:ListConfig", "afs.data.browse:list_sets", "stored records and datasets", "workspace"
    ),
    "data show": Verb("afs.data.browse:ShowConfig", "afs.data.browse:show", "look at records", "workspace"),
    "data stats": Verb("afs.data.browse:StatsConfig", "afs.data.browse:stats", "a dataset in sum", "workspace"),
    "data validate": Verb(
        "afs.curate.validate:ValidateConfig",
        "afs.curate.validate:validate",
        "every problem with its place",
        "workspace",
    ),
    "data diff": Verb(
        "afs.data.diff:DiffConfig", "afs.data.diff:compare_sets", "what entered, left and changed", "workspace"
    ),
    "data export": Verb(
        "afs.data.export:ExportConfig", "afs.data.export:export_dataset", "write another format", "workspace"
    ),
    "data report": Verb(
        "afs.data.report:ReportConfig", "afs.data.report:write_report", "the funnel as one page", "workspace"
    ),
    "data redactions": Verb(
        "afs.data.browse:RedactionsConfig", "afs.data.browse:redactions", "review what was hidden", "workspace"
    ),
    "init": Verb("afs.init:InitConfig", "afs.init:init", "make a workspace", "nothing"),
    "doctor": Verb(
        "afs.doctor:DoctorConfig",
        "afs.doctor:doctor",
        "say what this machine can do, and what would mend the rest",
        "nothing",
    ),
    "quickstart": Verb(
        "afs.quickstart:QuickstartConfig",
        "afs.quickstart:quickstart",
        "the whole road in minutes, on this machine",
        "nothing",
    ),
    "generate": Verb(
        "afs.generate:GenerateConfig", "afs.generate:generate", "make verified records by a pack or a teacher"
    ),
    "plan": Verb(
        "afs.train.plan:PlanConfig", "afs.train.plan:plan", "will it fit, how long, what will it cost", "workspace"
    ),
    "train": Verb(
        "afs.train:TrainConfig",
        "afs.train:train",
        "train a model on a dataset; the same command goes on",
        preview="afs.train.dry_run:preview",
    ),
    "train resume": Verb(
        "afs.train.resume_and_compare:ResumeConfig",
        "afs.train.resume_and_compare:resume",
        "go on with an interrupted run by its name",
        "workspace",
    ),
    "train compare": Verb(
        "afs.train.resume_and_compare:CompareConfig",
        "afs.train.resume_and_compare:compare",
        "training runs side by side",
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
        "registered models",
        "workspace",
    ),
    "models show": Verb(
        "afs.registry.registry_commands:ModelsShowConfig",
        "afs.registry.registry_commands:show",
        "all that is known of a model",
        "workspace",
    ),
    "models register": Verb(
        "afs.registry.registry_commands:ModelsRegisterConfig",
        "afs.registry.registry_commands:register",
        "give an artifact a name",
        "workspace",
    ),
    "models promote": Verb(
        "afs.registry.registry_commands:PromoteConfig",
        "afs.registry.registry_commands:promote",
        "make a version the champion",
        "workspace",
    ),
    "models deprecate": Verb(
        "afs.registry.registry_commands:DeprecateConfig",
        "afs.registry.registry_commands:deprecate",
        "mark a version as not to be used any more",
        "workspace",
    ),
    "models rollback": Verb(
        "afs.registry.registry_commands:RollbackConfig",
        "afs.registry.registry_commands:rollback",
        "make the previous champion the champion again",
        "workspace",
    ),
    "models verify": Verb(
        "afs.registry.integrity:ModelsVerifyConfig",
        "afs.registry.integrity:verify",
        "re-hash every stored model",
        "workspace",
    ),
    "models gc": Verb(
        "afs.registry.integrity:GcConfig", "afs.registry.integrity:gc", "remove models that nothing needs", "workspace"
    ),
    "models trace": Verb(
        "afs.registry.trace_command:TraceConfig",
        "afs.registry.trace_command:trace",
        "from a model to its samples, and back",
        "workspace",
    ),
    "models card": Verb(
        "afs.registry.model_card:CardConfig", "afs.registry.model_card:card", "the model card, generated", "workspace"
    ),
    "models mlflow": Verb(
        "afs.registry.mlflow:MlflowConfig",
        "afs.registry.mlflow:export_model",
        "write a model into an MLflow server",
        "workspace",
    ),
    "models backup": Verb(
        "afs.registry.backup:BackupConfig",
        "afs.registry.backup:backup",
        "copy the registry and all it reaches",
        "workspace",
    ),
    "models restore": Verb(
        "afs.registry.backup:RestoreConfig",
        "afs.registry.backup:restore",
        "bring a backup into an empty workspace",
        "workspace",
    ),
    "eval run": Verb(
        "afs.evaluate:EvalRunConfig", "afs.evaluate:eval_run", "measure models on a suite, beside their base"
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
        "judge stored answers again by today's checkers",
    ),
    "eval import": Verb(
        "afs.evaluate.rescore:ImportConfig",
        "afs.evaluate.rescore:import_results",
        "take in answers that another program asked for",
    ),
    "eval history": Verb(
        "afs.evaluate.history:HistoryConfig",
        "afs.evaluate.history:eval_history",
        "every measured version of an expert",
        "workspace",
    ),
    "eval note": Verb(
        "afs.evaluate.history:NoteConfig",
        "afs.evaluate.history:eval_note",
        "note what a report taught",
        "workspace",
    ),
    "eval leaderboard": Verb(
        "afs.evaluate.history:LeaderboardConfig",
        "afs.evaluate.history:eval_leaderboard",
        "all models measured on a suite",
        "workspace",
    ),
    "eval judge": Verb(
        "afs.evaluate.judging:JudgeConfig", "afs.evaluate.judging:eval_judge", "let models judge a report's answers"
    ),
    "eval screenshot": Verb(
        "afs.evaluate.screenshots.golden:ScreenshotsConfig",
        "afs.evaluate.screenshots.golden:eval_screenshot",
        "compare a frame, a page or a terminal with its golden picture",
        "workspace",
    ),
    "eval accept": Verb(
        "afs.evaluate.screenshots.golden:AcceptConfig",
        "afs.evaluate.screenshots.golden:eval_accept",
        "make what was seen the golden picture, with a reason",
        "workspace",
    ),
    "eval gate": Verb(
        "afs.evaluate.gate:GateConfig", "afs.evaluate.gate:eval_gate", "say whether a model may be shipped"
    ),
    "eval lint": Verb(
        "afs.evaluate.suite_lint:LintConfig",
        "afs.evaluate.suite_lint:eval_lint",
        "try a suite's scorers on answers whose worth is known",
        "workspace",
    ),
    "route train": Verb(
        "afs.serve:RouteTrainConfig", "afs.serve:route_train", "train the router on the experts' questions"
    ),
    "route eval": Verb(
        "afs.serve:RouteEvalConfig", "afs.serve:route_eval", "how good the router is on held-out questions", "workspace"
    ),
    "route explain": Verb(
        "afs.serve:RouteExplainConfig", "afs.serve:route_explain", "why a question goes to which expert", "workspace"
    ),
    "ask": Verb("afs.serve:AskConfig", "afs.serve:ask", "one question to the council", "workspace"),
    "serve": Verb(
        "afs.serve:ServeConfig", "afs.serve:serve", "the OpenAI-compatible gateway before the council", "workspace"
    ),
    "providers check": Verb(
        "afs.doctor.providers_check:CheckConfig",
        "afs.doctor.providers_check:check_providers",
        "one real call per model: latency, tokens, cost",
        "workspace",
    ),
    "run": Verb(
        "afs.pipeline:RunConfig",
        "afs.pipeline:run_recipe",
        "a recipe: verbs in order, skipping what is done",
        "workspace",
    ),
    "verify": Verb(
        "afs.verify:VerifyConfig",
        "afs.verify:verify_answers",
        "judge one answer, or a file of them, by the pack's check",
        "nothing",
    ),
}


def config_class(verb: Verb) -> type[Config]:
    """The config class of a verb."""
    return plugins.Late[type[Config]](verb.config).load()


def do(
    name: str, config: Config, workspace: Workspace | None = None, *, salt: Mapping[str, object] | None = None
) -> object:
    """Carry out a verb. A recipe gives a `salt`, which joins the digest its run is found by; then every verb has a run."""
    verb = VERBS[name]
    function = plugins.Late[Callable[..., object]](verb.function).load()
    if verb.needs == "nothing" and salt is None:
        return function(config)
    place = workspace or Workspace.find()
    if verb.needs == "workspace" and salt is None:
        return function(config, place)
    with runs.open_run(place, name, config, salt=salt or {}) as run:
        subject = {"run": (run,), "workspace": (place,), "nothing": ()}[verb.needs]
        made = function(config, *subject)
        run.finish("done", result=_made(made))
        return made


def preview(name: str, config: Config, workspace: Workspace | None = None) -> object:
    """What a verb would do: its `--dry-run`, where it has one."""
    verb = VERBS[name]
    if not verb.preview:
        raise UsageError(f"afs {name} has no --dry-run")
    function = plugins.Late[Callable[..., object]](verb.preview).load()
    return function(config, workspace or Workspace.find())


def _made(result: object) -> str:
    """What a run made, as its state names it."""
    if isinstance(result, Dataset):
        return f"{result.kind}:{result.ref}"
    if isinstance(result, Artifact):
        return f"artifact:{result.ref}"
    return f"report:{result.ref}" if isinstance(result, Report) else ""
