//! The ladder of the cluster-proportional autoscaler: from how many nodes, and from
//! how many cores, on how many agents run
//! (kubernetes-sigs/cluster-proportional-autoscaler, "Ladder Mode").

use serde_json::{Map, Value, json};

const BY_NODES: &str = "nodesToReplicas";
const BY_CORES: &str = "coresToReplicas";

/// From so many on, so many agents.
type Step = (u32, u32);

/// A ladder. What else it holds is kept as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    by_nodes: Vec<Step>,
    by_cores: Vec<Step>,
    rest: Map<String, Value>,
}

impl Ladder {
    /// The ladder that AKS ships.
    pub fn of_aks() -> Self {
        Self {
            by_nodes: vec![(1, 2), (100, 3), (250, 4), (500, 5), (1000, 6), (5000, 10)],
            by_cores: Vec::new(),
            rest: Map::new(),
        }
    }

    /// Reads the JSON of the ConfigMap. Either kind of step may be left out, and
    /// a step may ask for no agent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut steps = |of: &str| -> Result<Vec<Step>, String> {
            let steps = rest.remove(of).unwrap_or_default();
            let steps: Option<Vec<Step>> =
                serde_json::from_value(steps).map_err(|e| format!("{of}: {e}"))?;
            let mut steps = steps.unwrap_or_default();
            steps.sort_unstable();
            Ok(steps)
        };
        Ok(Self {
            by_nodes: steps(BY_NODES)?,
            by_cores: steps(BY_CORES)?,
            rest,
        })
    }

    /// Whether it needs to know the cores of the nodes.
    pub fn goes_by_cores(&self) -> bool {
        !self.by_cores.is_empty()
    }

    /// Agents for so many nodes and cores: what the one or the other asks for, the
    /// larger where there are both, and one where there is neither. Where the cores
    /// are not known, it is at least so many.
    pub fn agents(&self, nodes: u32, cores: Option<u32>) -> u32 {
        if self.by_nodes.is_empty() && self.by_cores.is_empty() {
            return 1;
        }
        let by_nodes = reached(&self.by_nodes, nodes);
        let by_cores = cores.and_then(|cores| reached(&self.by_cores, cores));
        by_nodes.max(by_cores).unwrap_or_default()
    }

    /// How many agents there should be. Where memory ran out, half as many again.
    pub fn wanted(&self, nodes: u32, cores: Option<u32>, running: u32, killed: bool) -> u32 {
        let least = self.agents(nodes, cores);
        let least = least.max(Self::of_aks().agents(nodes, None));
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
        let mut raised = self.clone();
        let steps = &mut raised.by_nodes;
        let from = steps
            .iter()
            .map(|(from, _)| *from)
            .take_while(|from| *from <= nodes)
            .last();
        if from.is_none() {
            steps.insert(0, (1, agents));
        }
        let from = from.unwrap_or(1);
        for (step, replicas) in steps {
            if *step >= from {
                *replicas = agents.max(*replicas);
            }
        }
        raised
    }

    /// As the ConfigMap holds it.
    pub fn to_text(&self) -> String {
        let mut object = self.rest.clone();
        for (name, steps) in [(BY_NODES, &self.by_nodes), (BY_CORES, &self.by_cores)] {
            if !steps.is_empty() {
                object.insert(name.to_owned(), json!(steps));
            }
        }
        Value::Object(object).to_string()
    }
}

/// What the last step up to this number asks for; the first one also counts below
/// itself, as the autoscaler does it.
fn reached(steps: &[Step], number: u32) -> Option<u32> {
    let reached = steps.iter().take_while(|(from, _)| *from <= number);
    let step = reached.last().or(steps.first());
    step.map(|(_, agents)| *agents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_ladder_gives_the_published_numbers() {
        let ladder = Ladder::of_aks();
        let given = [1, 99, 100, 250, 999, 1000, 5000, 9000];
        let given = given.map(|nodes| ladder.agents(nodes, None));
        assert_eq!(given, [2, 2, 3, 4, 5, 6, 10, 10]);
    }

    #[test]
    fn either_kind_of_step_may_be_left_out_and_the_larger_of_both_counts() {
        for (text, nodes, cores, expected) in [
            (r#"{"nodesToReplicas":[[10,4]]}"#, 3, None, 4),
            (r#"{"nodesToReplicas":[]}"#, 3, Some(8), 1),
            ("{}", 3, None, 1),
            (
                r#"{"coresToReplicas":[[1,1],[64,3],[512,5]]}"#,
                100,
                Some(400),
                3,
            ),
            (
                r#"{"coresToReplicas":[[1,1],[64,3]],"nodesToReplicas":null}"#,
                9,
                Some(63),
                1,
            ),
            // The example of the autoscaler's own documentation: the larger of 3 and 2.
            (
                r#"{"coresToReplicas":[[1,1],[64,3],[512,5]],"nodesToReplicas":[[1,1],[2,2]]}"#,
                100,
                Some(400),
                3,
            ),
            (
                r#"{"coresToReplicas":[[1,1]],"nodesToReplicas":[[1,1],[2,2]]}"#,
                100,
                Some(400),
                2,
            ),
            // None may be asked for, and unordered steps are put in order.
            (r#"{"nodesToReplicas":[[6,1],[0,0]]}"#, 5, None, 0),
            (r#"{"nodesToReplicas":[[6,1],[0,0]]}"#, 6, None, 1),
            // Without the cores it is what the nodes ask for, at least.
            (
                r#"{"coresToReplicas":[[1,9]],"nodesToReplicas":[[1,2]]}"#,
                3,
                None,
                2,
            ),
            (r#"{"coresToReplicas":[[1,9]]}"#, 3, None, 0),
        ] {
            let ladder = Ladder::parse(text).unwrap();
            assert_eq!(
                ladder.agents(nodes, cores),
                expected,
                "{text} {nodes} {cores:?}"
            );
        }
    }

    #[test]
    fn raising_lowers_no_step_and_keeps_what_else_is_there() {
        let text =
            r#"{"coresToReplicas":[[1,1]],"more":7,"nodesToReplicas":[[1,1],[100,2],[500,9]]}"#;
        let raised = Ladder::parse(text).unwrap().raised(120, 4);
        assert_eq!(raised.agents(50, Some(8)), 1);
        assert_eq!(raised.agents(120, Some(8)), 4);
        assert_eq!(raised.agents(600, Some(8)), 9);
        assert!(
            raised
                .to_text()
                .contains(r#""coresToReplicas":[[1,1]],"more":7"#)
        );
        assert_eq!(Ladder::parse(&raised.to_text()).unwrap(), raised);
    }

    #[test]
    fn a_ladder_of_cores_alone_is_raised_by_a_step_of_nodes() {
        let raised = Ladder::parse(r#"{"coresToReplicas":[[1,1]]}"#).unwrap();
        let raised = raised.raised(120, 3);
        assert_eq!(raised.agents(120, Some(240)), 3);
        assert_eq!(
            raised.to_text(),
            r#"{"coresToReplicas":[[1,1]],"nodesToReplicas":[[1,3]]}"#
        );
    }

    #[test]
    fn what_is_no_ladder_is_refused() {
        for bad in [
            "",
            "[]",
            r#"{"nodesToReplicas":[[1]]}"#,
            r#"{"nodesToReplicas":[["a",1]]}"#,
            r#"{"nodesToReplicas":[[1,-1]]}"#,
            r#"{"coresToReplicas":[[-1,2],[1,2]]}"#,
            r#"{"coresToReplicas":7}"#,
        ] {
            assert!(Ladder::parse(bad).is_err(), "{bad}");
        }
    }
}
