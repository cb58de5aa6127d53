//! Recorded reads of an estate as the engine keeps them, and as its drivers
//! would have given them.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use naosu_engine::{
    Code, Error,
    driver::{Effector, IdempotencyKey, Observer, PerformError, Performed, Reading},
    model::{
        ClusterId, DryRun, Effect, Observation, ObserveError, ObserveErrorKind, Query,
        query::{NodeObservation, ObjectRef},
    },
    plugin::Reads,
};
use naosu_plugin::testing::{OBSERVED_AT, Recorded};

/// Answers from what was recorded; all else is not there.
pub struct Replay(HashMap<Query, Arc<Observation>>);

impl Replay {
    pub fn of(recorded: &Recorded) -> Arc<Self> {
        let answers = recorded.0.iter().map(|(asked, answer)| {
            let body = answer.as_ref().ok().map(|answer| answer.body.clone());
            (query(asked), observation(query(asked), body))
        });
        Arc::new(Self(answers.collect()))
    }

    fn answer(&self, query: &Query) -> Arc<Observation> {
        match self.0.get(query) {
            Some(observation) => Arc::clone(observation),
            None => observation(query.clone(), None),
        }
    }
}

#[async_trait]
impl Reads for Replay {
    async fn read(&self, query: &Query) -> Arc<Observation> {
        self.answer(query)
    }
}

#[async_trait]
impl Observer for Replay {
    async fn observe(&self, _: &ClusterId, query: &Query) -> Result<Reading, ObserveError> {
        let version = Some("W/\"1\"".to_owned());
        let answer = self.answer(query).answer.clone();
        answer.map(|body| Reading {
            body: body.as_ref().to_owned(),
            version,
        })
    }
}

/// Nothing is performed here, and no system has a dry run.
#[async_trait]
impl Effector for Replay {
    async fn perform(
        &self,
        _: &ClusterId,
        _: &Effect,
        _: &Observation,
        _: &IdempotencyKey,
    ) -> Result<Performed, PerformError> {
        unreachable!("a plan is made, not applied")
    }

    async fn dry_run(
        &self,
        _: &ClusterId,
        _: &Effect,
        _: &Observation,
    ) -> Result<Option<DryRun>, Error> {
        Ok(None)
    }
}

fn observation(query: Query, body: Option<String>) -> Arc<Observation> {
    let at = i64::try_from(OBSERVED_AT).expect("a time");
    let answer = body.map(Into::into).ok_or_else(|| ObserveError {
        kind: ObserveErrorKind::NotFound,
        code: Code::AzureNotFound,
        message: query.to_string(),
    });
    Arc::new(Observation {
        digest: Observation::digest_of(&answer),
        answer,
        query,
        version: None,
        observed_at: Timestamp::from_millisecond(at).expect("a time"),
    })
}

fn query(query: &naosu_plugin::Query) -> Query {
    use naosu_plugin::{NodeObservation as GuestNode, Query as Guest};
    match query.clone() {
        Guest::AzureGet(resource) => Query::AzureGet { resource },
        Guest::AzureList(path) => Query::AzureList { path },
        Guest::AzureMetric(metric) => Query::AzureMetric {
            resource: metric.resource,
            metric: metric.metric,
            aggregation: metric.aggregation,
            filter: metric.filter,
            window_minutes: metric.window_minutes,
        },
        Guest::KubernetesGet(object) => Query::KubernetesGet {
            object: ObjectRef {
                api_version: object.api_version,
                kind: object.kind,
                namespace: object.namespace,
                name: object.name,
            },
        },
        Guest::KubernetesList(list) => Query::KubernetesList {
            api_version: list.api_version,
            object_kind: list.kind,
            namespace: list.namespace,
            label_selector: list.label_selector,
        },
        Guest::Node(node) => Query::Node {
            node: node.node,
            what: match node.what {
                GuestNode::UfwStatus => NodeObservation::UfwStatus,
                GuestNode::UfwRules => NodeObservation::UfwRules,
                GuestNode::FirewallRuleset => NodeObservation::FirewallRuleset,
                GuestNode::ListeningSockets => NodeObservation::ListeningSockets,
                GuestNode::OutboundConnections => NodeObservation::OutboundConnections,
            },
        },
        Guest::TcpProbe(probe) => Query::TcpProbe {
            from_node: probe.from_node,
            to_host: probe.to_host,
            port: probe.port,
        },
        Guest::TunnelProbe(node) => Query::TunnelProbe { node },
    }
}
