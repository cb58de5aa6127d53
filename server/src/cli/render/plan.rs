//! A plan: everything that an approver must know.

use naosu_engine::model::{Decision, Effect, Inverse, Plan, PlanState, Run, Step};

use super::{flow, judgement, principal, risk, run_state, time};
use crate::{
    approvals::approvals_words,
    cli::page::{Page, Tone},
};

/// The whole plan, the warnings first, the command that goes on with it last.
pub fn plan(page: &mut Page, plan: &Plan) {
    plan_with_run(page, plan, None);
}

/// The whole plan, and how its run stands where there is one and it could be read.
pub fn plan_with_run(page: &mut Page, plan: &Plan, run: Option<&Run>) {
    what(page, plan);
    let Some(run) = run else {
        next_of_plan(page, plan);
        return;
    };
    page.gap();
    let (state, tone) = run_state(run.state);
    let who = format!("{}, {}", principal(&run.principal), time(run.started_at));
    page.field(0, "Applied by", Tone::Plain, &who);
    page.field(0, "Run", tone, &format!("{} {state}", run.id.0));
    page.command(2, &["run", "show", &run.id.0]);
}

fn what(page: &mut Page, plan: &Plan) {
    let content = &plan.content;
    page.line(0, Tone::Strong, &plan.id.0);
    page.words(2, Tone::Plain, &content.summary);
    page.gap();
    let (state, tone) = state(plan);
    page.field(2, "State", tone, &state);
    let (risk, tone) = risk(content.risk);
    page.field(2, "Risk", tone, risk);
    page.field(2, "Cluster", Tone::Plain, content.cluster.name());
    page.line(16, Tone::Faint, content.cluster.as_str());
    let (sure, _) = judgement(content.finding.judgement);
    let cause = format!("{} ({sure})", content.finding.cause);
    page.field(2, "Cause", Tone::Plain, &cause);
    for required in &content.finding.required_flows {
        page.field(2, "Needs", Tone::Plain, &flow::required(required));
    }
    page.field(2, "Plugin", Tone::Plain, &content.plugin);
    page.line(16, Tone::Faint, content.plugin_digest.as_str());
    let who = format!(
        "{}, {}",
        principal(&content.requester),
        time(content.created_at)
    );
    page.field(2, "Requested by", Tone::Plain, &who);
    page.field(2, "Expires", Tone::Plain, &time(content.expires_at));
    page.field(2, "Digest", Tone::Strong, plan.digest.as_str());
    for approval in &plan.approvals {
        let label = match approval.decision {
            Decision::Approve => "Approved by",
            Decision::Reject => "Rejected by",
        };
        let mut words = format!("{}, {}", principal(&approval.principal), time(approval.at));
        if !approval.comment.is_empty() {
            words.push_str(&format!(": {}", approval.comment));
        }
        page.field(2, label, Tone::Plain, &words);
    }
    if !content.warnings.is_empty() {
        page.gap();
        page.line(0, Tone::Caution, "WARNINGS");
        for warning in &content.warnings {
            let words = format!("{}: {}", warning.code, warning.message);
            let words = flow::shortened(page, words);
            page.item(2, "! ", Tone::Caution, &words);
        }
    }
    for (number, step) in content.steps.iter().enumerate() {
        page.gap();
        let of = format!(
            "Step {} of {}: {}",
            number + 1,
            content.steps.len(),
            step.title
        );
        page.words(0, Tone::Strong, &of);
        self::step(page, step);
    }
}

/// The command that goes on with it.
pub fn next_of_plan(page: &mut Page, plan: &Plan) {
    if let Some(run) = &plan.run {
        page.gap();
        page.line(0, Tone::Plain, "Its run:");
        page.command(2, &["run", "show", &run.0]);
        return;
    }
    match plan.state {
        PlanState::PendingApproval => {
            page.gap();
            page.words(0, Tone::Caution, &approvals_words(plan));
            let who = if plan.approvals.is_empty() {
                "To approve exactly this plan:"
            } else {
                "Another person must run:"
            };
            page.line(0, Tone::Plain, who);
            let digest = plan.digest.as_str();
            page.command(2, &["plan", "approve", &plan.id.0, "--digest", digest]);
        }
        PlanState::Approved => {
            page.gap();
            page.line(0, Tone::Plain, "Approved. To apply it:");
            page.command(2, &["apply", &plan.id.0]);
        }
        PlanState::Rejected | PlanState::Expired => {
            page.gap();
            page.line(0, Tone::Plain, "Nothing was changed. To diagnose again:");
            page.command(2, &["diagnose", plan.content.cluster.as_str()]);
        }
    }
}

fn state(plan: &Plan) -> (String, Tone) {
    let approvals = plan
        .approvals
        .iter()
        .filter(|approval| approval.decision == Decision::Approve)
        .count();
    match plan.state {
        PlanState::PendingApproval => (
            format!(
                "PENDING_APPROVAL ({approvals} of {} approvals)",
                plan.content.approvals_needed
            ),
            Tone::Caution,
        ),
        PlanState::Approved => ("APPROVED".to_owned(), Tone::Good),
        PlanState::Rejected => ("REJECTED".to_owned(), Tone::Bad),
        PlanState::Expired => ("EXPIRED".to_owned(), Tone::Bad),
    }
}

fn step(page: &mut Page, step: &Step) {
    if !matches!(step.effect, Effect::Manual { .. }) {
        page.line(2, Tone::Plain, "Change:");
        page.diff(4, &step.dry_run.before, &step.dry_run.after);
    }
    let (risk, tone) = risk(step.risk);
    page.field(2, "Risk", tone, risk);
    match (&step.effect, step.dry_run.by.as_str()) {
        (Effect::Manual { instruction }, _) => {
            page.field(2, "By hand", Tone::Strong, instruction);
        }
        (_, by) => {
            let sends = if by == "system" {
                "Dry run of"
            } else {
                "Would send"
            };
            page.field(2, sends, Tone::Plain, &step.dry_run.request);
            page.field(2, "Only if", Tone::Plain, &step.precondition.description);
        }
    }
    match &step.inverse {
        Inverse::Effect { effect } => {
            page.field(2, "Rollback", Tone::Plain, &effect_words(effect));
        }
        Inverse::Irreversible { reason } => {
            let words = format!("CANNOT BE TAKEN BACK: {reason}");
            page.field(2, "Rollback", Tone::Bad, &words);
        }
    }
    flow::delta(page, &step.delta);
}

/// One line of what an effect does.
pub(super) fn effect_words(effect: &Effect) -> String {
    let name = |resource: &str| resource.rsplit('/').next().unwrap_or(resource).to_owned();
    match effect {
        Effect::NsgRuleCreate { nsg, rule } => {
            format!("create rule {} in {}", rule.name, name(nsg))
        }
        Effect::NsgRuleDelete { nsg, rule } => {
            format!(
                "delete rule {} in {}, if it is unchanged",
                rule.name,
                name(nsg)
            )
        }
        Effect::NsgRulesReplace { nsg, rules } => {
            format!(
                "replace the custom rules of {} by {}",
                name(nsg),
                rules.len()
            )
        }
        Effect::FirewallRuleAdd(rule) => {
            format!("add rule {} to {}", rule.name, name(&rule.resource))
        }
        Effect::FirewallRuleRemove(rule) => {
            let from = name(&rule.resource);
            format!("remove rule {} from {from}, if it is unchanged", rule.name)
        }
        Effect::UfwRuleInsert(rule) => {
            format!(
                "insert the ufw rule for port {} on {}",
                rule.port, rule.node
            )
        }
        Effect::UfwRuleDelete(rule) => {
            format!(
                "delete the ufw rule for port {} on {}",
                rule.port, rule.node
            )
        }
        Effect::UfwEnable { node } => format!("enable ufw on {node}"),
        Effect::UfwDisable { node } => format!("disable ufw on {node}"),
        Effect::IptablesRuleInsert(rule) => format!(
            "insert at {} {} on {}: {}",
            rule.chain, rule.position, rule.node, rule.specification
        ),
        Effect::IptablesRuleDelete(rule) => format!(
            "delete at {} {} on {}: {}",
            rule.chain, rule.position, rule.node, rule.specification
        ),
        Effect::PodEvict { namespace, name } => format!("evict pod {namespace}/{name}"),
        Effect::RolloutRestart {
            workload,
            namespace,
            name,
        } => format!("restart {workload} {namespace}/{name}"),
        Effect::ConfigMapSet {
            namespace,
            name,
            key,
            ..
        } => format!("set {key} of ConfigMap {namespace}/{name} as before"),
        Effect::NetworkProfileSet { cluster, patch } => {
            format!("set the network profile of {}: {patch}", name(cluster))
        }
        Effect::ArmPatch { resource, patch } => format!("patch {}: {patch}", name(resource)),
        Effect::KubernetesPatch { object, patch } => format!("patch {object}: {patch}"),
        Effect::Manual { instruction } => format!("by hand: {instruction}"),
    }
}
