//! Disruption budgets that let no agent be evicted, however long one waits.

use naosu_plugin::{
    Agent, Reads, Tunnel, in_words,
    kubernetes::{DisruptionBudget, system_budgets},
    read_json,
};

/// What budgets say to an eviction of some agents.
pub enum Budgets {
    /// Nothing that waiting would not end.
    Fine,
    /// They could not be read; says why.
    Unread(String),
    /// They refuse it for ever; says which does, and why.
    Refuse(String),
}

/// Reads the budgets and asks them.
pub fn read(reads: &dyn Reads, tunnel: &Tunnel, evicted: &[&Agent]) -> Budgets {
    let budgets = match read_json::<Vec<DisruptionBudget>>(reads, &system_budgets()) {
        Ok(budgets) => budgets.value,
        Err(error) => return Budgets::Unread(in_words(&error)),
    };
    let refusal = evicted
        .iter()
        .find_map(|agent| refusal(&budgets, tunnel, agent));
    refusal.map_or(Budgets::Fine, Budgets::Refuse)
}

fn name(budget: &DisruptionBudget) -> String {
    let metadata = &budget.metadata;
    format!("{}/{}", metadata.namespace, metadata.name)
}

/// Why this agent can never be evicted, if it cannot.
fn refusal(budgets: &[DisruptionBudget], tunnel: &Tunnel, agent: &Agent) -> Option<String> {
    // A pod that does not run yet is no disruption.
    if agent.pod.status.phase != "Running" {
        return None;
    }
    let about: Vec<&DisruptionBudget> = budgets
        .iter()
        .filter(|budget| budget.is_of(&agent.pod))
        .collect();
    match about.as_slice() {
        [] => None,
        [budget] => by(budget, tunnel, agent),
        several => {
            let names: Vec<String> = several.iter().map(|budget| name(budget)).collect();
            Some(format!(
                "disruption budgets {} are about the same pod, of which no eviction is taken",
                names.join(" and ")
            ))
        }
    }
}

fn by(budget: &DisruptionBudget, tunnel: &Tunnel, agent: &Agent) -> Option<String> {
    let mut of_budget = tunnel
        .agents
        .iter()
        .filter(|other| budget.is_of(&other.pod));
    let counted = of_budget
        .clone()
        .filter(|other| other.pod.is_ready())
        .count();
    let status = &budget.status;
    let healthy = status.current_healthy;
    let healthy = healthy.unwrap_or_else(|| u32::try_from(counted).unwrap_or(u32::MAX));
    let desired = status.desired_healthy.unwrap_or(1);
    let name = name(budget);
    if agent.pod.is_ready() {
        // Where every pod is healthy, none is to come that would make room.
        let all = of_budget.all(|other| other.pod.is_ready());
        let is_full = status
            .expected_pods
            .is_none_or(|expected| healthy >= expected);
        let refuses = status.disruptions_allowed == Some(0) && all && is_full;
        return refuses.then(|| {
            format!(
                "disruption budget {name} lets none of its {healthy} healthy pods be evicted: it \
                 asks for {desired}"
            )
        });
    }
    // A pod that is not healthy goes only while enough others are, and those that
    // are not will not become so by waiting.
    let refuses = !budget.always_allows_unhealthy() && (healthy == 0 || healthy < desired);
    refuses.then(|| {
        format!(
            "disruption budget {name} asks for {desired} healthy pods and {healthy} are, so it \
             lets no unhealthy one be evicted either"
        )
    })
}
