//! Which packets effects change, from recorded reads.

mod admin_rules;
mod caution;
mod firewall;
mod node;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

use super::*;
use crate::{
    effect::semantics,
    error::Code,
    model::{Digest, ObserveError, ObserveErrorKind, Query},
    plugin::Reads,
};

/// What can be read; all else is forbidden.
#[derive(Default)]
struct Recorded(BTreeMap<Query, Value>);

impl Recorded {
    fn put(&mut self, query: Query, body: Value) {
        self.0.insert(query, body);
    }

    fn arm(&mut self, resource: &str, body: Value) {
        self.put(
            Query::AzureGet {
                resource: resource.to_owned(),
            },
            body,
        );
    }

    fn forbid(&mut self, resource: &str) {
        self.0.remove(&Query::AzureGet {
            resource: resource.to_owned(),
        });
    }
}

#[async_trait]
impl Reads for Recorded {
    async fn read(&self, query: &Query) -> Arc<Observation> {
        let answer = self.0.get(query).map(Value::to_string).ok_or(ObserveError {
            kind: ObserveErrorKind::Forbidden,
            code: Code::AzureForbidden,
            message: format!("{query} may not be read"),
        });
        Arc::new(Observation {
            query: query.clone(),
            answer: answer.map(Into::into),
            version: None,
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            digest: Digest::of_bytes(b""),
        })
    }
}

async fn consequence(effect: &Effect, needed: &[Flow], recorded: &Recorded) -> Consequence {
    let meaning = semantics(effect);
    let before = recorded.read(&meaning.target()).await;
    let after = meaning.simulate(&State::of(&before)).unwrap().state;
    of(effect, &before, &after, needed, recorded).await
}

/// The delta in words, and what is excess.
async fn words(effect: &Effect, needed: &[Flow], recorded: &Recorded) -> (Vec<String>, usize) {
    match consequence(effect, needed, recorded).await.delta {
        Delta::Computed { report, excess } => (report.words, excess.len()),
        other => panic!("{other:?}"),
    }
}
