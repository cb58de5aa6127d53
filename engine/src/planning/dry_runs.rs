//! What a step would do: by the system's own dry run where it has one, else by
//! the host's simulation.

use std::sync::Arc;

use super::chain::Before;
use crate::{
    driver::Effector,
    effect::Simulation,
    error::{Code, Error},
    model::{ClusterId, DryRun, Effect, Warning},
    store::PlanInputs,
};

/// Where answers of systems come from.
pub struct DryRuns {
    source: Source,
    said: Vec<Said>,
}

enum Source {
    Systems(Arc<dyn Effector>, ClusterId),
    Recorded(std::vec::IntoIter<Said>),
}

/// What a system said to one step.
#[derive(Clone, Debug, Default)]
struct Said {
    answer: Option<DryRun>,
    /// The budget that forbids it for now, in the system's words.
    budget: Option<String>,
}

impl DryRuns {
    /// Asks the systems.
    pub fn asked(effector: Arc<dyn Effector>, cluster: ClusterId) -> Self {
        Self {
            source: Source::Systems(effector, cluster),
            said: Vec::new(),
        }
    }

    /// Replays what they said.
    pub fn recorded(inputs: PlanInputs) -> Self {
        let mut budgets = inputs.budgets.into_iter();
        let answers = inputs.dry_runs.into_iter();
        let said: Vec<Said> = answers
            .map(|answer| Said {
                answer,
                budget: budgets.next().flatten(),
            })
            .collect();
        Self {
            source: Source::Recorded(said.into_iter()),
            said: Vec::new(),
        }
    }

    /// Puts what was said, a step each, with the rest that a plan is made from.
    pub fn record_in(self, inputs: &mut PlanInputs) {
        for Said { answer, budget } in self.said {
            inputs.dry_runs.push(answer);
            inputs.budgets.push(budget);
        }
    }

    /// What the step would do, and a warning where it has to wait.
    pub(super) async fn of_step(
        &mut self,
        effect: &Effect,
        before: &Before,
        simulation: Simulation,
    ) -> Result<(DryRun, Option<Warning>), Error> {
        let said = match &mut self.source {
            // No system knows a state that is not there yet.
            Source::Systems(effector, cluster) if before.is_observed => {
                match effector.dry_run(cluster, effect, &before.observation).await {
                    Ok(answer) => Said {
                        answer,
                        budget: None,
                    },
                    // A budget of now says nothing of the moment of the step, which
                    // waits for it.
                    Err(error) if error.code == Code::KubernetesDisruptionBudget => Said {
                        answer: None,
                        budget: Some(error.message),
                    },
                    Err(error) => return Err(error),
                }
            }
            Source::Systems(..) => Said::default(),
            Source::Recorded(said) => said.next().unwrap_or_default(),
        };
        self.said.push(said.clone());
        let Said { answer, budget } = said;
        // Before and after are the host's own, in one form for a diff that reads
        // well; what is sent is as the system or its driver has it.
        let (by, request, body) = match answer {
            Some(answer) => (answer.by, answer.request, answer.body),
            None => ("simulated".to_owned(), simulation.request, None),
        };
        let dry_run = DryRun {
            by,
            request,
            body: body.or(simulation.body),
            before: simulation.before,
            after: simulation.after,
        };
        Ok((dry_run, budget.map(|budget| must_wait(&budget))))
    }
}

fn must_wait(budget: &str) -> Warning {
    Warning {
        code: "disruption_budget".to_owned(),
        message: format!(
            "the API server forbids an eviction for now: {budget}; the step waits for the budget, \
             and is not done when that takes too long"
        ),
    }
}
