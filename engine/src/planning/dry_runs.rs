//! What a step would do: by the system's own dry run where it has one, else by
//! the host's simulation.

use std::sync::Arc;

use super::chain::Before;
use crate::{
    driver::Effector,
    effect::Simulation,
    error::Error,
    model::{ClusterId, DryRun, Effect},
};

/// Where answers of systems come from.
pub struct DryRuns {
    source: Source,
    answers: Vec<Option<DryRun>>,
}

enum Source {
    Systems(Arc<dyn Effector>, ClusterId),
    Recorded(std::vec::IntoIter<Option<DryRun>>),
}

impl DryRuns {
    /// Asks the systems.
    pub fn asked(effector: Arc<dyn Effector>, cluster: ClusterId) -> Self {
        Self {
            source: Source::Systems(effector, cluster),
            answers: Vec::new(),
        }
    }

    /// Replays what they said.
    pub fn recorded(answers: Vec<Option<DryRun>>) -> Self {
        Self {
            source: Source::Recorded(answers.into_iter()),
            answers: Vec::new(),
        }
    }

    /// What was answered, a step each.
    pub fn into_answers(self) -> Vec<Option<DryRun>> {
        self.answers
    }

    pub(super) async fn of_step(
        &mut self,
        effect: &Effect,
        before: &Before,
        simulation: Simulation,
    ) -> Result<DryRun, Error> {
        let answer = match &mut self.source {
            // No system knows a state that is not there yet.
            Source::Systems(effector, cluster) if before.is_observed => {
                effector
                    .dry_run(cluster, effect, &before.observation)
                    .await?
            }
            Source::Systems(..) => None,
            Source::Recorded(answers) => answers.next().flatten(),
        };
        self.answers.push(answer.clone());
        // Before and after are the host's own, in one form for a diff that reads
        // well; what is sent is as the system or its driver has it.
        let (by, request, body) = match answer {
            Some(answer) => (answer.by, answer.request, answer.body),
            None => ("simulated".to_owned(), simulation.request, None),
        };
        Ok(DryRun {
            by,
            request,
            body: body.or(simulation.body),
            before: simulation.before,
            after: simulation.after,
        })
    }
}
