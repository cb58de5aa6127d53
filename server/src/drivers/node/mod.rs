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

use naosu_engine::model::ClusterId;
use output::Section;
use script::Script;

pub use error::NodeError;

use super::{azure::ArmClient, config::NodeConfig, kubernetes::KubernetesDriver};

/// Runs the host's own scripts on nodes; nobody else's.
pub struct NodeDriver {
    config: NodeConfig,
    azure: Arc<ArmClient>,
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
        kubernetes: Arc<KubernetesDriver>,
    ) -> Self {
        Self {
            config,
            azure,
            kubernetes,
            turns: std::sync::Mutex::default(),
        }
    }

    /// Runs a script on a node and fetches all it printed.
    ///
    /// # Guarantees
    /// One script at a time on a node, different nodes in parallel. A script that
    /// writes (`repeatable` false) is started at most once.
    async fn run(
        &self,
        cluster: &ClusterId,
        node: &str,
        script: Script,
        repeatable: bool,
    ) -> Result<Finished, NodeError> {
        let instance = self.locate(cluster, node).await?;
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns
                .entry(instance.as_str().to_ascii_lowercase())
                .or_default()
                .clone()
        };
        let _turn = turn.lock().await;
        let first = self.run_page(node, &instance, &script, repeatable).await?;
        let mut packed = first.data.clone();
        // Four characters of base64 carry three bytes, and text never grows that much.
        let page_limit = usize::try_from(self.config.output_limit_bytes * 2).unwrap_or(usize::MAX)
            / script::PAGE_BYTES
            + 1;
        if first.pages > page_limit {
            return Err(NodeError::Malformed {
                node: node.to_owned(),
                reason: format!("{} pages are more than the limit", first.pages),
            });
        }
        for number in 2..=first.pages {
            let fetch = Script::page(&script.nonce, number);
            let page = self.run_page(node, &instance, &fetch, true).await?;
            if page.page != number || page.pages != first.pages || page.meta != first.meta {
                return Err(NodeError::Malformed {
                    node: node.to_owned(),
                    reason: format!("page {number} belongs to another output"),
                });
            }
            packed.push_str(&page.data);
        }
        let output = output::unpack(node, &packed, &first.meta, self.config.output_limit_bytes)?;
        Ok(Finished {
            exit: first.meta.exit,
            sections: output::sections(node, &output)?,
        })
    }
}
