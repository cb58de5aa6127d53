//! What only a person can do. Naosu shows it and never performs it.

use serde_json::Value;

use super::{Semantics, Simulation, Standing, State};
use crate::{
    error::Error,
    model::{Inverse, Query},
};

pub(super) struct Manual<'a> {
    pub instruction: &'a str,
}

impl Semantics for Manual<'_> {
    /// Nothing of it can be read; the nodes stand for the cluster.
    fn target(&self) -> Query {
        Query::KubernetesList {
            api_version: "v1".to_owned(),
            object_kind: "Node".to_owned(),
            namespace: String::new(),
            label_selector: String::new(),
        }
    }

    fn projection(&self, _state: &State) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn standing(&self, _state: &State) -> Result<Standing, Error> {
        Ok(Standing::Ready)
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Irreversible {
            reason: "who did it by hand takes it back by hand".to_owned(),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        Ok(Simulation {
            request: "by hand".to_owned(),
            body: None,
            before: String::new(),
            after: format!("{}\n", self.instruction),
            state: before.clone(),
        })
    }

    fn holds(&self) -> String {
        "nothing: it is done by hand".to_owned()
    }

    fn is_fenced_by_version(&self) -> bool {
        false
    }

    fn standing_decides(&self) -> bool {
        false
    }
}
