//! What the API server's refusals and silences become.

use naosu_engine::{
    driver::PerformError,
    error::{Code, Error},
};

use crate::drivers::text::{MESSAGE_LIMIT, printable};

/// Why the API server gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubernetesError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {place}: {reason}")]
    Kubeconfig {
        /// The file, or where else it came from.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The API server is not that of the cluster asked about.
    #[error("the API server at {server} is not that of {cluster}: {found}")]
    AnotherCluster {
        /// The cluster asked about.
        cluster: String,
        /// The API server's host.
        server: String,
        /// By what that is known.
        found: String,
    },
    /// There is no service account to use.
    #[error("no in-cluster credentials: {reason}")]
    InCluster {
        /// What is missing.
        reason: String,
    },
    /// The query or effect does not make sense to Kubernetes.
    #[error("{what}: {reason}")]
    Invalid {
        /// The object or kind.
        what: String,
        /// Why.
        reason: String,
    },
    /// The API server answered with an error status.
    #[error("{what} was refused with {status}: {message}")]
    Refused {
        /// The object or kind.
        what: String,
        /// HTTP status.
        status: u16,
        /// "NotFound", "Conflict".
        reason: String,
        /// Its words, printable.
        message: String,
    },
    /// No answer, or one that cannot be understood.
    #[error("{what} got no answer: {reason}")]
    Unavailable {
        /// The object or kind.
        what: String,
        /// What happened.
        reason: String,
        /// Whether the request may have arrived.
        sent: bool,
    },
    /// More than is read.
    #[error("{what} has more than {limit}")]
    TooMuch {
        /// The list.
        what: String,
        /// How much is read.
        limit: String,
    },
    /// An eviction that a disruption budget, or the state of the workload's other
    /// pods, forbids for now.
    #[error("{what} may not be evicted now: {message}")]
    DisruptionBudget {
        /// The pod.
        what: String,
        /// The API server's words, printable.
        message: String,
    },
}

impl KubernetesError {
    /// What an error of kube's means for `what`.
    pub fn of(what: &str, error: kube::Error) -> Self {
        let what = what.to_owned();
        match error {
            kube::Error::Api(status) => Self::Refused {
                what,
                status: status.code,
                reason: printable(&status.reason, 80),
                message: printable(&status.message, MESSAGE_LIMIT),
            },
            kube::Error::BuildRequest(error) => Self::Invalid {
                what,
                reason: error.to_string(),
            },
            kube::Error::Discovery(error) => Self::Invalid {
                what,
                reason: error.to_string(),
            },
            kube::Error::Auth(error) => Self::Refused {
                what,
                status: 401,
                reason: "credential".to_owned(),
                message: printable(&error.to_string(), MESSAGE_LIMIT),
            },
            other => Self::Unavailable {
                what,
                sent: !never_connected(&other),
                reason: chain(&other),
            },
        }
    }

    /// What a wait that ended without an answer means for `what`.
    pub fn silent(what: &str, waited: std::time::Duration) -> Self {
        Self::Unavailable {
            what: what.to_owned(),
            reason: format!("nothing within {} ms", waited.as_millis()),
            sent: true,
        }
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Kubeconfig { .. } => Code::KubeconfigInvalid,
            Self::AnotherCluster { .. } => Code::KubeconfigOfAnotherCluster,
            Self::InCluster { .. } => Code::InvalidConfiguration,
            Self::Invalid { .. } => Code::InvalidParameter,
            Self::Unavailable { .. } | Self::TooMuch { .. } => Code::KubernetesUnavailable,
            Self::DisruptionBudget { .. } => Code::KubernetesDisruptionBudget,
            Self::Refused { status, .. } => match status {
                401 => Code::KubernetesUnauthenticated,
                403 => Code::KubernetesForbidden,
                404 | 410 => Code::KubernetesNotFound,
                409 | 412 => Code::KubernetesConflict,
                400 | 405 | 422 => Code::InvalidParameter,
                _ => Code::KubernetesUnavailable,
            },
        }
    }

    fn next(&self) -> &'static str {
        match self.code() {
            Code::KubeconfigInvalid => "`kubectl config view` reads the same file; correct it",
            Code::KubeconfigOfAnotherCluster => {
                "nothing was done; name the kubeconfig and context of this cluster in kubernetes.source, or kind = \"arm\""
            }
            Code::InvalidConfiguration => "run inside the cluster, or configure kubernetes.source",
            Code::InvalidParameter => "correct what the API server names",
            Code::KubernetesUnauthenticated => "check the kubeconfig's user and its credentials",
            Code::KubernetesForbidden => "give the user the role that has the verb named",
            Code::KubernetesNotFound => "check name and namespace",
            Code::KubernetesConflict => "it changed since it was read: diagnose and plan again",
            Code::KubernetesDisruptionBudget => "wait until other pods are ready, then apply again",
            _ => "check that the API server can be reached, then try again",
        }
    }

    /// Whether the request certainly changed nothing.
    pub fn certainly_not_applied(&self) -> bool {
        match self {
            Self::Refused { status, .. } => (400..500).contains(status) && *status != 408,
            Self::Unavailable { sent, .. } => !sent,
            _ => true,
        }
    }
}

fn never_connected(error: &kube::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(current) = cause {
        let connecting = current
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
        if connecting {
            return true;
        }
        cause = current.source();
    }
    false
}

fn chain(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        let shown = current.to_string();
        if !text.contains(&shown) {
            text.push_str(": ");
            text.push_str(&shown);
        }
        cause = current.source();
    }
    printable(&text, MESSAGE_LIMIT)
}

impl From<KubernetesError> for Error {
    fn from(error: KubernetesError) -> Self {
        Self::new(error.code(), error.to_string(), error.next())
    }
}

impl From<KubernetesError> for PerformError {
    fn from(error: KubernetesError) -> Self {
        if error.certainly_not_applied() {
            Self::NotApplied(error.into())
        } else {
            Self::Unknown(error.into())
        }
    }
}
