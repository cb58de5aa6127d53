//! A plugin that allows 10250 in each group.

use std::sync::Arc;

use async_trait::async_trait;
use naosu_engine::{
    Error,
    model::{
        ClusterId, Digest, Effect, EffectKind, Finding, Flow, Judgement, PluginInfo, Query,
        Symptom,
        effect::{Access, Direction, NsgRule},
    },
    plugin::{Plugin, Proposal, ProposedStep, Reads, Verdict},
};

use super::world::nsg;

pub struct AllowPort {
    info: PluginInfo,
    groups: Vec<String>,
    panics: bool,
}

pub fn allow_rule() -> NsgRule {
    NsgRule {
        name: "allow-10250".into(),
        priority: 200,
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: "Tcp".into(),
        source_prefixes: vec!["10.224.0.0/16".into()],
        source_ports: vec!["*".into()],
        source_groups: vec![],
        destination_prefixes: vec!["10.224.0.0/16".into()],
        destination_ports: vec!["10250".into()],
        destination_groups: vec![],
        description: String::new(),
    }
}

impl AllowPort {
    pub fn new(groups: &[&str]) -> Self {
        Self {
            info: PluginInfo {
                id: "allow-port".into(),
                version: "1".into(),
                digest: Digest::of_bytes(b"component"),
                contract: "naosu:plugin@0.1.0".into(),
                cause: "nsg-blocks-tunnel".into(),
                summary: String::new(),
                fix: "allows".into(),
                parameters: vec![],
                capabilities: vec![],
                effects: vec![EffectKind::NsgRuleCreate],
                imports: vec![],
                source: "test".into(),
            },
            groups: groups.iter().map(|g| nsg(g)).collect(),
            panics: false,
        }
    }

    /// Brings down whoever has it verify.
    pub fn panicking(mut self) -> Self {
        self.panics = true;
        self
    }

    /// The same id from another component.
    pub fn rebuilt(mut self) -> Self {
        self.info.digest = Digest::of_bytes(b"another component");
        self
    }

    /// Declares nothing of what it proposes.
    pub fn undeclared(mut self) -> Self {
        self.info.effects = vec![EffectKind::PodEvict];
        self
    }
}

#[async_trait]
impl Plugin for AllowPort {
    fn info(&self) -> &PluginInfo {
        &self.info
    }

    async fn diagnose(
        &self,
        _: &ClusterId,
        _: &Symptom,
        reads: Arc<dyn Reads>,
    ) -> Result<Finding, Error> {
        for group in &self.groups {
            let resource = group.clone();
            reads.read(&Query::AzureGet { resource }).await;
        }
        let rule = allow_rule();
        Ok(Finding {
            plugin: "not-mine-to-say".into(),
            cause: self.info.cause.clone(),
            judgement: Judgement::Confirmed,
            summary: "10250 is denied".into(),
            evidence: vec![],
            required_flows: vec![Flow {
                protocol: "Tcp".into(),
                source_prefixes: rule.source_prefixes,
                destination_prefixes: rule.destination_prefixes,
                destination_ports: rule.destination_ports,
            }],
            infeasible: None,
            subject: serde_json::Value::Null,
        })
    }

    async fn plan(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &serde_json::Map<String, serde_json::Value>,
        _: Arc<dyn Reads>,
    ) -> Result<Proposal, Error> {
        let step = |group: &String| ProposedStep {
            title: format!("Allow TCP 10250 in {group}"),
            effect: Effect::NsgRuleCreate {
                nsg: group.clone(),
                rule: allow_rule(),
            },
        };
        Ok(Proposal {
            summary: "allow".into(),
            steps: self.groups.iter().map(step).collect(),
            warnings: vec![],
        })
    }

    async fn verify(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &[ProposedStep],
        _: Arc<dyn Reads>,
    ) -> Result<Verdict, Error> {
        assert!(!self.panics, "on purpose");
        Ok(Verdict {
            mended: true,
            summary: "The rule is there.".into(),
            evidence: vec![],
        })
    }
}
