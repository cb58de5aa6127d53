//! Commands on nodes, through VMSS Run Command: it works while the tunnel and the
//! node's own firewall do not, because the virtual machine's agent talks out of
//! band.

pub mod connections;
pub mod effects;
pub mod error;
mod locate;
pub mod observe;
pub mod output;
pub mod probe;
mod run_command;
pub mod script;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use locate::version_of;
use output::{Page, Section};
use script::Script;

pub use error::NodeError;

use super::{
    azure::{ArmClient, ManagedClusters, ResourceId},
    config::{NodeConfig, ms},
    kubernetes::KubernetesDriver,
};

/// How many times the longest wait for one run command all pages of an output may
/// take together.
const COMMANDS_AN_OUTPUT: u32 = 3;

/// Runs the host's own scripts on nodes; nobody else's.
pub struct NodeDriver {
    config: NodeConfig,
    azure: Arc<ArmClient>,
    clusters: Arc<ManagedClusters>,
    kubernetes: Arc<KubernetesDriver>,
    turns: std::sync::Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a script came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Exit code of its body.
    pub exit: i32,
    /// What each program in it printed.
    pub sections: Vec<Section>,
}

impl Finished {
    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The end of what the script itself complained.
    pub fn errors(&self) -> &str {
        self.section("errors")
            .map(|section| section.stderr.as_str())
            .unwrap_or_default()
    }
}

impl NodeDriver {
    /// A driver; nothing runs yet.
    pub fn new(
        config: NodeConfig,
        azure: Arc<ArmClient>,
        clusters: Arc<ManagedClusters>,
        kubernetes: Arc<KubernetesDriver>,
    ) -> Self {
        Self {
            config,
            azure,
            clusters,
            kubernetes,
            turns: std::sync::Mutex::default(),
        }
    }

    /// Runs a script on a node and fetches all it printed.
    ///
    /// # Guarantees
    /// One script at a time on a node, different nodes in parallel. A script that
    /// writes (`repeatable` false) is started at most once, and once it was, no
    /// error says that nothing was changed. Bounded in time and in what is fetched,
    /// whatever the node says of its output.
    async fn run(
        &self,
        node: &str,
        instance: &ResourceId,
        script: Script,
        repeatable: bool,
    ) -> Result<Finished, NodeError> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(version_of(instance)).or_default().clone()
        };
        let _turn = turn.lock().await;
        let first = self.run_page(node, instance, &script, repeatable).await?;
        let limit = self.config.output_limit_bytes;
        first.check_size(node, limit)?;
        let (pages, meta) = (first.pages, first.meta.clone());
        let rest = self.other_pages(node, instance, &script.nonce, first);
        let longest = ms(self.config.command_timeout_ms).saturating_mul(COMMANDS_AN_OUTPUT);
        let packed = match tokio::time::timeout(longest, rest).await {
            Ok(packed) => packed,
            Err(_) => Err(NodeError::Malformed {
                node: node.to_owned(),
                reason: format!("its {pages} pages did not come in {} s", longest.as_secs()),
            }),
        };
        let packed = packed.map_err(|error| {
            if repeatable {
                error
            } else {
                error.after_the_script()
            }
        })?;
        let output = output::unpack(node, &packed, &meta, limit)?;
        Ok(Finished {
            exit: meta.exit,
            sections: output::sections(node, &output)?,
        })
    }

    /// All pages of an output, joined.
    async fn other_pages(
        &self,
        node: &str,
        instance: &ResourceId,
        nonce: &str,
        first: Page,
    ) -> Result<String, NodeError> {
        let mut packed = first.data;
        for number in 2..=first.pages {
            let fetch = Script::page(nonce, number);
            let page = self.run_page(node, instance, &fetch, true).await?;
            if page.page != number || page.pages != first.pages || page.meta != first.meta {
                return Err(NodeError::Malformed {
                    node: node.to_owned(),
                    reason: format!("page {number} belongs to another output"),
                });
            }
            packed.push_str(&page.data);
        }
        Ok(packed)
    }
}
