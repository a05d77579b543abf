"""What hooks and Scaffold share: a request that becomes a plan, and a plan that becomes operations, once for each graph.

Enters: a `Request` and how careful to be. Leaves: a `GraphRecovery`, or nothing where the old model is gone and the new one
resumes. This module must not know who asks, nor of any session.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Optional

from estimator_warmstart._tf import logger, tf, tf1
from estimator_warmstart.arguments import check_bool
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.plan.planner import plan_request
from estimator_warmstart.plan.request import Request
from estimator_warmstart.restore.finite_check import check_finite, check_strings
from estimator_warmstart.restore.operations import build_recovery
from estimator_warmstart.restore.session import GraphRecovery, late_variables, prepare, refuse_same_directory


class Recovering(NamedTuple):
    """One warm start, for whatever graph it is asked for.

    Attributes:
      request: what goes where.
      check_finite: whether to refuse old values that are not finite.
      model_dir: the new model's own directory, or `None` if it is not known.
    """

    request: Request
    check_finite: bool = False
    model_dir: Optional[str] = None

    def checked(self) -> Recovering:
        """This one.

        Raises:
          WarmStartError: for arguments that no checkpoint and no graph could make right.
        """
        check_bool("check_finite", self.check_finite)
        return self

    def plan(self, graph: Any) -> Plan:
        """The plan for `graph`, checked."""
        plan = plan_request(self.request, graph)
        if self.model_dir is not None:
            refuse_same_directory(plan.checkpoint, self.model_dir)
        if self.check_finite:
            check_finite(plan)
        check_strings(plan)
        return plan

    def prepare(self, graph: Any, session: Any = None) -> GraphRecovery:
        """Plans, and puts the plan's operations into `graph`; `session` as for `build_recovery`."""
        started = time.monotonic()
        return prepare(self.plan(graph), graph, self.model_dir, started, session)

    def complete(self, graph_recovery: GraphRecovery) -> GraphRecovery:
        """Takes variables into the plan that were made since; what was planned before stays as it is.

        Raises:
          WarmStartError: as `plan` does.
        """
        graph = graph_recovery.graph
        late = {new.name for new in late_variables(graph_recovery.plan, graph)}
        if not late:
            return graph_recovery
        whole = plan_request(self.request, graph)
        part = whole._replace(variables=tuple(planned for planned in whole.variables if planned.new.name in late))
        if self.check_finite:
            check_finite(part)
        recovery = build_recovery(part, graph, flag=graph_recovery.recovery.flag)
        with graph.as_default():
            recover = tf.group(graph_recovery.recovery.recover, recovery.recover)
        return graph_recovery._replace(
            plan=whole._replace(variables=graph_recovery.plan.variables + part.variables),
            recovery=recovery._replace(recover=recover),
            variable_count=len(graph.get_collection(tf1.GraphKeys.GLOBAL_VARIABLES)),
        )

    def prepare_if_there(self, graph: Any) -> Optional[GraphRecovery]:
        """The same; `None` if the old model cannot be read but the new one has a checkpoint of its own to resume from."""
        try:
            return self.prepare(graph)
        except CheckpointError as error:
            if self.model_dir is None or tf.train.latest_checkpoint(self.model_dir) is None:
                raise
            logger.warning("The old model is gone; %s resumes from its own checkpoint: %s", self.model_dir, error)
            return None
