//! Why a command on a node gave nothing.

use naosu_engine::{
    driver::PerformError,
    error::{Code, Error},
};

use crate::drivers::text::{MESSAGE_LIMIT, printable};

/// Why a command on a node gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// There is no such node, or Run Command cannot reach it.
    #[error("node {node}: {reason}")]
    NotFound {
        /// Kubernetes name.
        node: String,
        /// What was found instead.
        reason: String,
    },
    /// Its virtual machine is not one of the cluster's.
    #[error(
        "node {node}: its providerID names {instance}, which is not in the cluster's node resource group {group}"
    )]
    Foreign {
        /// Kubernetes name.
        node: String,
        /// ARM id of the virtual machine, printable.
        instance: String,
        /// ARM id of the group.
        group: String,
    },
    /// A parameter that has no place in a command.
    #[error("{what} {value:?}: {expected}")]
    Invalid {
        /// Which parameter.
        what: &'static str,
        /// Its value, printable.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Another run command holds the node.
    #[error("node {node} was busy with another run command for {waited_seconds} s")]
    Busy {
        /// Kubernetes name.
        node: String,
        /// How long was waited.
        waited_seconds: u64,
    },
    /// The output was cut.
    #[error("the output of node {node} was cut: {reason}")]
    Truncated {
        /// Kubernetes name.
        node: String,
        /// How that is known.
        reason: String,
    },
    /// The output is not what the script prints.
    #[error("the output of node {node} cannot be understood: {reason}")]
    Malformed {
        /// Kubernetes name.
        node: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The program is not there.
    #[error("node {node} has no program for {what}")]
    Absent {
        /// Kubernetes name.
        node: String,
        /// What was asked.
        what: &'static str,
    },
    /// The script, or a program of it, failed.
    #[error("{what} on node {node} failed with {exit}: {stderr}")]
    Failed {
        /// Kubernetes name.
        node: String,
        /// What was run.
        what: String,
        /// Exit code.
        exit: i32,
        /// The end of what it said, printable.
        stderr: String,
        /// Whether the failure excludes that anything was changed.
        unchanged: bool,
    },
    /// What the effect was planned on has changed.
    #[error("node {node}: {reason}")]
    Drift {
        /// Kubernetes name.
        node: String,
        /// What changed, printable.
        reason: String,
    },
    /// Azure's or Kubernetes' error on the way.
    #[error("{error}")]
    Way {
        /// Theirs.
        error: Error,
        /// Whether the script certainly did not run.
        unchanged: bool,
    },
}

impl NodeError {
    /// A parameter that has no place in a command.
    pub fn invalid(what: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Invalid {
            what,
            value: printable(value, MESSAGE_LIMIT),
            expected,
        }
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NodeNotFound,
            Self::Foreign { .. } => Code::NodeForeign,
            Self::Invalid { .. } => Code::InvalidParameter,
            Self::Busy { .. } => Code::NodeBusy,
            Self::Truncated { .. } => Code::NodeOutputTruncated,
            Self::Malformed { .. } => Code::NodeOutputMalformed,
            Self::Absent { .. } | Self::Failed { .. } => Code::NodeCommandFailed,
            Self::Drift { .. } => Code::Drift,
            Self::Way { error, .. } => error.code,
        }
    }

    fn next(&self) -> String {
        match self {
            Self::NotFound { .. } => "`kubectl get nodes` lists them",
            Self::Foreign { .. } => {
                "nothing was run there; find out who made this Node object, it may be an attack"
            }
            Self::Invalid { .. } => "correct the value",
            Self::Busy { .. } => "wait for the other run command to end, then try again",
            Self::Truncated { .. } => "try again; nothing was concluded from a part",
            Self::Malformed { .. } => "look at the node; something prints into its run commands",
            Self::Absent { .. } => "nothing has to be done if the node needs no such program",
            Self::Failed { .. } => "look at the node; the message has what it said",
            Self::Drift { .. } => "nothing was written; diagnose and plan again",
            Self::Way { error, .. } => &error.next,
        }
        .to_owned()
    }

    /// Whether the script certainly changed nothing.
    pub fn certainly_not_applied(&self) -> bool {
        match self {
            Self::Truncated { .. } | Self::Malformed { .. } => false,
            Self::Failed { unchanged, .. } | Self::Way { unchanged, .. } => *unchanged,
            _ => true,
        }
    }
}

impl NodeError {
    /// The same error, met after a script that writes was run.
    #[must_use]
    pub fn after_the_script(self) -> Self {
        Self::Way {
            error: self.into(),
            unchanged: false,
        }
    }
}

impl From<NodeError> for Error {
    fn from(error: NodeError) -> Self {
        Self::new(error.code(), error.to_string(), error.next())
    }
}

impl From<NodeError> for PerformError {
    fn from(error: NodeError) -> Self {
        if error.certainly_not_applied() {
            Self::NotApplied(error.into())
        } else {
            Self::Unknown(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_script_that_writes_was_run_no_error_says_that_nothing_changed() {
        let busy = NodeError::Busy {
            node: "n".into(),
            waited_seconds: 1,
        };
        assert!(busy.certainly_not_applied());
        let after = busy.after_the_script();
        assert!(!after.certainly_not_applied());
        assert_eq!(after.code(), Code::NodeBusy);
    }
}
