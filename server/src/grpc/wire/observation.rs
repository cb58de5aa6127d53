//! Reads and what they gave.

use std::sync::Arc;

use naosu_engine::model::{
    Observation, ObserveError, ObserveErrorKind, Query,
    query::{NodeObservation, ObjectRef},
};
use naosu_proto::v1::{self, observation::Answer, query::Query as Kind};

use super::{
    Wire, WireError,
    macros::{wire_enum, wire_list, wire_message, wire_optional_and_list},
};

wire_enum!(
    NodeObservation = v1::NodeObservation {
        UfwStatus,
        UfwRules,
        FirewallRuleset,
        ListeningSockets,
        OutboundConnections,
    }
);

wire_enum!(
    ObserveErrorKind = v1::ObserveErrorKind {
        NotFound,
        Forbidden,
        NotGranted,
        Truncated,
        Invalid,
        Unavailable,
    }
);

wire_message!(
    ObjectRef = v1::ObjectRef {
        api_version,
        kind,
        namespace,
        name
    }
);
wire_message!(
    ObserveError = v1::ObserveError {
        kind,
        code,
        message
    }
);

impl Wire<v1::Query> for Query {
    fn into_wire(self) -> v1::Query {
        let kind = match self {
            Self::AzureGet { resource } => Kind::AzureGet(v1::AzureGetQuery { resource }),
            Self::AzureList { path } => Kind::AzureList(v1::AzureListQuery { path }),
            Self::AzureMetric {
                resource,
                metric,
                aggregation,
                filter,
                window_minutes,
            } => Kind::AzureMetric(v1::AzureMetricQuery {
                resource,
                metric,
                aggregation,
                filter,
                window_minutes,
            }),
            Self::KubernetesGet { object } => Kind::KubernetesGet(object.into_wire()),
            Self::KubernetesList {
                api_version,
                object_kind,
                namespace,
                label_selector,
            } => Kind::KubernetesList(v1::KubernetesListQuery {
                api_version,
                kind: object_kind,
                namespace,
                label_selector,
            }),
            Self::Node { node, what } => Kind::Node(v1::NodeQuery {
                node,
                what: what.into_wire(),
            }),
            Self::TcpProbe {
                from_node,
                to_host,
                port,
            } => Kind::TcpProbe(v1::TcpProbeQuery {
                from_node,
                to_host,
                port: port.into_wire(),
            }),
            Self::TunnelProbe { node } => Kind::TunnelProbe(v1::TunnelProbeQuery { node }),
            Self::LogProbe { node } => Kind::LogProbe(v1::LogProbeQuery { node }),
            Self::TcpProbes {
                from_node,
                to_hosts,
                port,
            } => Kind::TcpProbes(v1::TcpProbesQuery {
                from_node,
                to_hosts,
                port: port.into_wire(),
            }),
        };
        v1::Query { query: Some(kind) }
    }

    fn from_wire(wire: v1::Query) -> Result<Self, WireError> {
        let kind = wire.query.ok_or_else(|| WireError::new("is missing"))?;
        Ok(match kind {
            Kind::AzureGet(v1::AzureGetQuery { resource }) => Self::AzureGet { resource },
            Kind::AzureList(v1::AzureListQuery { path }) => Self::AzureList { path },
            Kind::AzureMetric(v1::AzureMetricQuery {
                resource,
                metric,
                aggregation,
                filter,
                window_minutes,
            }) => Self::AzureMetric {
                resource,
                metric,
                aggregation,
                filter,
                window_minutes,
            },
            Kind::KubernetesGet(object) => Self::KubernetesGet {
                object: Wire::from_wire(object).map_err(|e| e.within("kubernetes_get"))?,
            },
            Kind::KubernetesList(list) => Self::KubernetesList {
                api_version: list.api_version,
                object_kind: list.kind,
                namespace: list.namespace,
                label_selector: list.label_selector,
            },
            Kind::Node(v1::NodeQuery { node, what }) => Self::Node {
                node,
                what: Wire::from_wire(what).map_err(|e| e.within("node.what"))?,
            },
            Kind::TcpProbe(probe) => Self::TcpProbe {
                from_node: probe.from_node,
                to_host: probe.to_host,
                port: Wire::from_wire(probe.port).map_err(|e| e.within("tcp_probe.port"))?,
            },
            Kind::TunnelProbe(v1::TunnelProbeQuery { node }) => Self::TunnelProbe { node },
            Kind::LogProbe(v1::LogProbeQuery { node }) => Self::LogProbe { node },
            Kind::TcpProbes(probes) => Self::TcpProbes {
                from_node: probes.from_node,
                to_hosts: probes.to_hosts,
                port: Wire::from_wire(probes.port).map_err(|e| e.within("tcp_probes.port"))?,
            },
        })
    }
}
wire_optional_and_list!(Query, v1::Query);

impl Wire<Option<Answer>> for Result<Arc<str>, ObserveError> {
    fn into_wire(self) -> Option<Answer> {
        Some(match self {
            Ok(body) => Answer::Body(body.as_ref().to_owned()),
            Err(error) => Answer::Error(error.into_wire()),
        })
    }

    fn from_wire(wire: Option<Answer>) -> Result<Self, WireError> {
        match wire {
            Some(Answer::Body(body)) => Ok(Ok(body.into())),
            Some(Answer::Error(error)) => Ok(Err(Wire::from_wire(error)?)),
            None => Err(WireError::new("is missing")),
        }
    }
}

wire_message!(
    Observation = v1::Observation {
        query,
        answer,
        version,
        observed_at,
        digest
    }
);

impl Wire<v1::Observation> for Arc<Observation> {
    fn into_wire(self) -> v1::Observation {
        Arc::unwrap_or_clone(self).into_wire()
    }

    fn from_wire(wire: v1::Observation) -> Result<Self, WireError> {
        Ok(Self::new(Wire::from_wire(wire)?))
    }
}
wire_list!(Arc<Observation>, v1::Observation);
