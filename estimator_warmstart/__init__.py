"""Warm-starts TensorFlow Estimators: takes the parameters of an old model into a new one, whatever changed in between."""

from estimator_warmstart import adapters
from estimator_warmstart.api.estimator import warm_started
from estimator_warmstart.api.hooks import ShapeAdaptingRecoverHook, VariableRecoverHook, recover_variables
from estimator_warmstart.api.into import recover_into
from estimator_warmstart.api.params import hooks_from_params
from estimator_warmstart.api.proof import prove_recovery
from estimator_warmstart.api.saver import make_saver
from estimator_warmstart.api.scaffold import recover_scaffold
from estimator_warmstart.api.warm_start_settings import warm_start_settings
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.convert.merge import merge_checkpoints
from estimator_warmstart.convert.write import write_checkpoint
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.plan.matching import match_variables
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.planner import plan_recovery
from estimator_warmstart.plan.proof import Proof
from estimator_warmstart.plan.report import format_report, report_as_json
from estimator_warmstart.version import VERSION

__all__ = [
    "Plan",
    "Proof",
    "ShapeAdaptingRecoverHook",
    "VariableRecoverHook",
    "WarmStartError",
    "adapters",
    "convert_checkpoint",
    "format_report",
    "hooks_from_params",
    "make_saver",
    "match_variables",
    "merge_checkpoints",
    "plan_recovery",
    "prove_recovery",
    "recover_into",
    "recover_scaffold",
    "recover_variables",
    "report_as_json",
    "warm_start_settings",
    "warm_started",
    "write_checkpoint",
]

__version__ = VERSION
