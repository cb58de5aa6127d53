//! The ladder of the cluster-proportional autoscaler: from how many nodes on how
//! many agents run.

use serde_json::{Map, Value, json};

const STEPS: &str = "nodesToReplicas";

/// A ladder. What else it holds is kept as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// Nodes and agents, by nodes.
    steps: Vec<(u32, u32)>,
    rest: Map<String, Value>,
}

impl Ladder {
    /// The ladder that AKS ships.
    pub fn of_aks() -> Self {
        Self {
            steps: vec![(1, 2), (100, 3), (250, 4), (500, 5), (1000, 6), (5000, 10)],
            rest: Map::new(),
        }
    }

    /// Reads the JSON of the ConfigMap.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let steps = rest.remove(STEPS).unwrap_or(Value::Null);
        let mut steps: Vec<(u32, u32)> =
            serde_json::from_value(steps).map_err(|e| format!("{STEPS}: {e}"))?;
        if let Some((nodes, agents)) = steps.iter().find(|(n, a)| *n == 0 || *a == 0) {
            return Err(format!(
                "{STEPS}: the autoscaler takes no step [{nodes},{agents}]; both are at least 1"
            ));
        }
        steps.sort_unstable();
        Ok(Self { steps, rest })
    }

    /// Agents for so many nodes. As the autoscaler does it
    /// (kubernetes-sigs/cluster-proportional-autoscaler, `laddercontroller`), the
    /// first step also counts below itself, and no step at all means one agent.
    pub fn agents(&self, nodes: u32) -> u32 {
        let reached = self.steps.iter().take_while(|(from, _)| *from <= nodes);
        let step = reached.last().or(self.steps.first());
        step.map_or(1, |(_, agents)| *agents)
    }

    /// How many agents there should be. Where memory ran out, half as many again.
    pub fn wanted(&self, nodes: u32, running: u32, killed: bool) -> u32 {
        let least = self.agents(nodes).max(Self::of_aks().agents(nodes));
        if killed {
            let busy = least.max(running);
            least.max(busy.saturating_add(busy.div_ceil(2)))
        } else {
            least
        }
    }

    /// The ladder with at least so many agents from this number of nodes on, and
    /// nowhere fewer than before.
    pub fn raised(&self, nodes: u32, agents: u32) -> Self {
        let mut steps = self.steps.clone();
        let from = steps
            .iter()
            .map(|(from, _)| *from)
            .take_while(|from| *from <= nodes)
            .last();
        if from.is_none() {
            steps.insert(0, (1, agents));
        }
        let from = from.unwrap_or(1);
        for (step, replicas) in &mut steps {
            if *step >= from {
                *replicas = agents.max(*replicas);
            }
        }
        Self {
            steps,
            rest: self.rest.clone(),
        }
    }

    /// As the ConfigMap holds it.
    pub fn to_text(&self) -> String {
        let mut object = self.rest.clone();
        object.insert(STEPS.to_owned(), json!(self.steps));
        Value::Object(object).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_ladder_gives_the_published_numbers() {
        let ladder = Ladder::of_aks();
        let given = [1, 99, 100, 250, 999, 1000, 5000, 9000].map(|nodes| ladder.agents(nodes));
        assert_eq!(given, [2, 2, 3, 4, 5, 6, 10, 10]);
    }

    #[test]
    fn below_the_first_step_it_counts_and_without_any_there_is_one_agent() {
        let ladder = |text| Ladder::parse(text).unwrap();
        assert_eq!(ladder(r#"{"nodesToReplicas":[[10,4]]}"#).agents(3), 4);
        assert_eq!(ladder(r#"{"nodesToReplicas":[]}"#).agents(3), 1);
    }

    #[test]
    fn raising_lowers_no_step_and_keeps_what_else_is_there() {
        let text = r#"{"coresToReplicas":[[1,1]],"nodesToReplicas":[[1,1],[100,2],[500,9]]}"#;
        let raised = Ladder::parse(text).unwrap().raised(120, 4);
        assert_eq!(raised.agents(50), 1);
        assert_eq!(raised.agents(120), 4);
        assert_eq!(raised.agents(600), 9);
        assert!(raised.to_text().contains("coresToReplicas"));
        assert_eq!(Ladder::parse(&raised.to_text()).unwrap(), raised);
    }

    #[test]
    fn what_is_no_ladder_is_refused() {
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"nodesToReplicas":[[1]]}"#,
            r#"{"nodesToReplicas":[["a",1]]}"#,
            r#"{"nodesToReplicas":[[1,0]]}"#,
            r#"{"nodesToReplicas":[[0,2],[1,2]]}"#,
        ] {
            assert!(Ladder::parse(bad).is_err(), "{bad}");
        }
    }
}
