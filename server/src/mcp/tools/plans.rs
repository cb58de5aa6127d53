//! Plans.

use jiff::Timestamp;
use naosu_engine::{
    facade::{PlanFilter, PlanRequest},
    model::{ClusterId, DiagnosisId, Digest, PlanId, PlanState, Risk, RunId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::mcp::{
    answer::{PlanAnswer, RunAnswer},
    catalog::{Entry, LOOK, Nature},
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhatToPlan {
    /// Id of the diagnosis: "dia-…".
    diagnosis: DiagnosisId,
    /// The plugin whose finding to mend, also a suspected one; when absent, the
    /// first confirmed finding that has a feasible fix.
    #[serde(default)]
    plugin: Option<String>,
    /// The plugin's parameters by name.
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// `create_plan`
pub(super) fn create() -> Result<Entry, String> {
    Entry::new(
        "create_plan",
        "Make a plan",
        "Makes a plan that mends a confirmed finding, or a suspected one by naming its plugin: \
         ordered steps, each with what it would send, which \
         packets it lets pass or stops (computed by Naosu itself), how it is taken back, and its \
         risk. Changes nothing on the cluster. The plan waits for a person's approval, which \
         cannot be given through MCP: 'next' has the command for that person.",
        Nature {
            read_only: false,
            destructive: false,
            idempotent: false,
            open_world: true,
        },
        |call, what: WhatToPlan| async move {
            let request = PlanRequest {
                diagnosis: what.diagnosis,
                plugin: what.plugin,
                parameters: what.parameters,
            };
            let plan = call.naosu.create_plan(&call.principal, request).await?;
            Ok(PlanAnswer::from(plan))
        },
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichPlan {
    /// Id of the plan: "plan-…".
    plan: PlanId,
}

/// `get_plan`
pub(super) fn get() -> Result<Entry, String> {
    Entry::new(
        "get_plan",
        "Read a plan",
        "Gives a plan with its steps, its digest, the decisions on it and where it stands.",
        LOOK,
        |call, which: WhichPlan| async move {
            Ok(PlanAnswer::from(call.naosu.plan(&which.plan).await?))
        },
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichPlans {
    /// ARM id; absent for all clusters.
    #[serde(default)]
    cluster: Option<String>,
    /// Only in this state.
    #[serde(default)]
    state: Option<PlanState>,
}

#[derive(Serialize, JsonSchema)]
struct Plans {
    /// Newest first.
    plans: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    id: PlanId,
    cluster: ClusterId,
    plugin: String,
    summary: String,
    state: PlanState,
    risk: Risk,
    digest: Digest,
    /// How many approved it.
    approvals: usize,
    approvals_needed: u32,
    created_at: Timestamp,
    expires_at: Timestamp,
    /// The run that applies it.
    run: Option<RunId>,
}

/// `list_plans`
pub(super) fn list() -> Result<Entry, String> {
    Entry::new(
        "list_plans",
        "List plans",
        "Lists stored plans, newest first; of one cluster or in one state, when given.",
        LOOK,
        |call, which: WhichPlans| async move {
            let filter = PlanFilter {
                cluster: which.cluster.as_deref().map(str::parse).transpose()?,
                state: which.state,
            };
            let plans = call.naosu.plans(&filter).await?;
            let rows = plans.into_iter().map(|plan| Row {
                id: plan.id,
                cluster: plan.content.cluster,
                plugin: plan.content.plugin,
                summary: plan.content.summary,
                state: plan.state,
                // A decision against it ends it: then the state says so.
                approvals: plan.approvals.len(),
                approvals_needed: plan.content.approvals_needed,
                created_at: plan.content.created_at,
                risk: plan.content.risk,
                digest: plan.digest,
                expires_at: plan.content.expires_at,
                run: plan.run,
            });
            Ok(Plans {
                plans: rows.collect(),
            })
        },
    )
}

/// `apply_plan`
pub(super) fn apply() -> Result<Entry, String> {
    Entry::new(
        "apply_plan",
        "Apply an approved plan",
        "Begins the run of a plan that a person has approved; refused otherwise. Each step is \
         checked against the cluster again right before it; what does not verify is taken back. \
         Answers at once: follow the run with get_run.",
        Nature {
            read_only: false,
            destructive: true,
            // A plan runs once; a second call is refused and changes nothing.
            idempotent: true,
            open_world: true,
        },
        |call, which: WhichPlan| async move {
            let run = call.naosu.apply(&call.principal, &which.plan).await?;
            Ok(RunAnswer::from(run))
        },
    )
}
