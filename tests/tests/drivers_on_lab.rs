//! The drivers against the lab: real packets, real iptables and ufw, Azure's and
//! Kubernetes' APIs over real HTTP, all through the engine's two traits.

use std::{path::Path, time::Duration};

use naosu_engine::{
    driver::{Effector, IdempotencyKey, Observer, PerformError},
    error::Code,
    model::{
        ClusterId, Digest, Effect, Observation, Query,
        effect::{Access, Direction, IpFamily, IptablesBackend, IptablesRuleEffect, UfwRuleEffect},
        journal::Way,
        query::{FirewallRuleset, NodeObservation, ProbeResult, UfwStatus},
    },
};
use naosu_flow::nsg::NsgRule;
use naosu_lab::{
    builtin_scenario,
    lifecycle::{Lab, LabOptions},
    machine::Machine,
};
use naosu_server::drivers::{DriverConfig, Drivers};
use serde_json::Value;

struct Bench {
    lab: Lab,
    drivers: Drivers,
    cluster: ClusterId,
}

impl Bench {
    /// A lab of this scenario; `None` where namespaces are not allowed.
    async fn start(name: &str, base: &Path) -> Option<Self> {
        if Machine::start("trial", || Ok(())).is_err() {
            println!("skipped: no network namespaces");
            return None;
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = LabOptions {
            base_directory: base.to_owned(),
            ..LabOptions::default()
        };
        options.data_plane_options.dial_limit = Duration::from_millis(500);
        let scenario = builtin_scenario(name).expect("it is there");
        let lab = Lab::start(scenario, options).await.expect("it starts");
        let text = std::fs::read_to_string(lab.naosu_config_file()).expect("it is written");
        let config: DriverConfig = toml::from_str(&text).expect("it configures the drivers");
        Some(Self {
            drivers: Drivers::connect(config).expect("it connects"),
            cluster: lab.cluster_id().parse().expect("an id"),
            lab,
        })
    }

    async fn observe(&self, query: Query) -> Observation {
        let reading = self.drivers.observe(&self.cluster, &query).await;
        let reading = reading.unwrap_or_else(|error| panic!("{query}: {error}"));
        Observation {
            digest: Digest::of_bytes(reading.body.as_bytes()),
            answer: Ok(reading.body.into()),
            version: reading.version,
            observed_at: jiff::Timestamp::now(),
            query,
        }
    }

    async fn json(&self, query: Query) -> Value {
        let observed = self.observe(query).await;
        serde_json::from_str(&observed.answer.expect("a body")).expect("JSON")
    }

    async fn perform(&self, effect: &Effect, before: &Observation) -> Result<bool, PerformError> {
        let key = IdempotencyKey {
            plan: Digest::of_bytes(b"plan"),
            step: 0,
            way: Way::Forward,
            attempt: 1,
        };
        let performed = self
            .drivers
            .perform(&self.cluster, effect, before, &key)
            .await?;
        Ok(performed.already_in_place)
    }

    async fn nodes(&self) -> Vec<String> {
        let nodes = self
            .json(Query::KubernetesList {
                api_version: "v1".to_owned(),
                object_kind: "Node".to_owned(),
                namespace: String::new(),
                label_selector: String::new(),
            })
            .await;
        let name = |node: &Value| {
            node["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned()
        };
        nodes.as_array().expect("nodes").iter().map(name).collect()
    }

    async fn reached(&self, node: &str) -> bool {
        let probe = self
            .json(Query::TunnelProbe {
                node: node.to_owned(),
            })
            .await;
        let probe: ProbeResult = serde_json::from_value(probe).expect("a probe");
        assert_eq!(probe.reached, probe.error.is_empty(), "{probe:?}");
        probe.reached
    }

    /// A node whose kubelet the tunnel does not reach.
    async fn blocked_node(&self) -> String {
        for node in self.nodes().await {
            if !self.reached(&node).await {
                return node;
            }
        }
        panic!("every node is reached");
    }
}

fn is_drift(error: PerformError) -> bool {
    matches!(error, PerformError::NotApplied(error)
        if matches!(error.code, Code::Drift | Code::AzurePreconditionFailed))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_rule_opens_and_closes_the_tunnel() {
    let base = tempfile::tempdir().expect("a directory");
    let Some(bench) = Bench::start("nsg-deny-10250", base.path()).await else {
        return;
    };
    let node = bench.blocked_node().await;
    let groups = bench.lab.arm().snapshot();
    let mut groups = groups.of_type("Microsoft.Network/networkSecurityGroups");
    let nsg = groups
        .find(|group| group.to_string().contains("\"Deny\"") && group.to_string().contains("10250"))
        .and_then(|group| group["id"].as_str())
        .expect("the group that denies")
        .to_owned();
    let read = || {
        bench.observe(Query::AzureGet {
            resource: nsg.clone(),
        })
    };
    let rule = NsgRule {
        name: "naosu-allow-10250".to_owned(),
        priority: 100,
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: "Tcp".to_owned(),
        source_prefixes: vec!["VirtualNetwork".to_owned()],
        source_ports: vec!["*".to_owned()],
        source_groups: vec![],
        destination_prefixes: vec!["VirtualNetwork".to_owned()],
        destination_ports: vec!["10250".to_owned()],
        destination_groups: vec![],
        description: String::new(),
    };
    let create = Effect::NsgRuleCreate {
        nsg: nsg.clone(),
        rule: rule.clone(),
    };
    let delete = Effect::NsgRuleDelete {
        nsg: nsg.clone(),
        rule,
    };
    let before = read().await;
    assert!(
        !bench
            .perform(&create, &before)
            .await
            .expect("it is written")
    );
    assert!(bench.reached(&node).await, "the rule opens the tunnel");
    assert!(is_drift(
        bench
            .perform(&create, &before)
            .await
            .expect_err("the ETag is old")
    ));
    let after = read().await;
    assert!(
        bench
            .perform(&create, &after)
            .await
            .expect("it is there already")
    );
    assert!(!bench.perform(&delete, &after).await.expect("it is deleted"));
    assert!(
        !bench.reached(&node).await,
        "without the rule it is closed again"
    );
    assert!(
        bench
            .perform(&delete, &read().await)
            .await
            .expect("it is gone already")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iptables_rule_behind_more_output_than_run_command_keeps_goes_and_comes_back() {
    let base = tempfile::tempdir().expect("a directory");
    let Some(bench) = Bench::start("iptables-long-ruleset", base.path()).await else {
        return;
    };
    let node = bench.blocked_node().await;
    let read = || {
        bench.observe(Query::Node {
            node: node.clone(),
            what: NodeObservation::FirewallRuleset,
        })
    };
    let before = read().await;
    let body = before.answer.clone().expect("a ruleset");
    assert!(body.len() > 4_096);
    let ruleset: FirewallRuleset = serde_json::from_str(&body).expect("a ruleset");
    let dumps = [
        (IptablesBackend::Nft, ruleset.ipv4_nft.unwrap_or_default()),
        (
            IptablesBackend::Legacy,
            ruleset.ipv4_legacy.unwrap_or_default(),
        ),
    ];
    let found = dumps.iter().find_map(|(backend, dump)| {
        let mut input = dump.lines().filter(|line| line.starts_with("-A INPUT "));
        let index = input
            .clone()
            .position(|line| line.contains("10250") && line.contains("DROP"))?;
        Some((
            *backend,
            index,
            input.nth(index)?.strip_prefix("-A INPUT ")?.to_owned(),
        ))
    });
    let (backend, index, specification) = found.expect("the rule that drops");
    let rule = IptablesRuleEffect {
        node: node.clone(),
        family: IpFamily::Ipv4,
        backend,
        table: "filter".to_owned(),
        chain: "INPUT".to_owned(),
        specification,
        position: u32::try_from(index).expect("small") + 1,
    };
    let delete = Effect::IptablesRuleDelete(rule.clone());
    let insert = Effect::IptablesRuleInsert(rule);
    let shown = bench
        .drivers
        .dry_run(&bench.cluster, &delete, &before)
        .await;
    assert_eq!(
        shown.expect("it would work").expect("a dry run").by,
        "system"
    );
    assert!(!bench.reached(&node).await, "a dry run changes nothing");
    assert!(
        !bench
            .perform(&delete, &before)
            .await
            .expect("it is deleted")
    );
    assert!(
        bench.reached(&node).await,
        "without the rule the tunnel carries"
    );
    assert!(is_drift(
        bench
            .perform(&delete, &before)
            .await
            .expect_err("it changed")
    ));
    let without = read().await;
    assert!(
        bench
            .perform(&delete, &without)
            .await
            .expect("it is gone already")
    );
    assert!(
        !bench
            .perform(&insert, &without)
            .await
            .expect("it comes back")
    );
    assert!(!bench.reached(&node).await);
    let lines = |text: &str| -> Vec<String> {
        let rules = text.split("\\n").filter(|line| line.starts_with("-A"));
        rules.map(str::to_owned).collect()
    };
    assert_eq!(
        lines(&read().await.answer.expect("a ruleset")),
        lines(&body)
    );
}

/// The digest of what ufw would set in force.
fn ufw_files(status: &Observation) -> String {
    let body = status.answer.as_deref().expect("a body");
    let status: UfwStatus = serde_json::from_str(body).expect("a status");
    status.files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ufw_rule_goes_in_before_the_denying_one_and_out_again() {
    let base = tempfile::tempdir().expect("a directory");
    let Some(bench) = Bench::start("ufw-deny", base.path()).await else {
        return;
    };
    let node = bench.blocked_node().await;
    let insert = UfwRuleEffect {
        node: node.clone(),
        position: 1,
        access: Access::Allow,
        direction: Direction::Inbound,
        protocol: "tcp".to_owned(),
        source: "10.224.0.0/16".to_owned(),
        destination: "any".to_owned(),
        port: "10250".to_owned(),
    };
    let delete = Effect::UfwRuleDelete(insert.clone());
    let insert = Effect::UfwRuleInsert(insert);
    for what in [NodeObservation::UfwRules, NodeObservation::UfwStatus] {
        let read = || {
            bench.observe(Query::Node {
                node: node.clone(),
                what,
            })
        };
        let before = read().await;
        assert!(
            !bench
                .perform(&insert, &before)
                .await
                .expect("it is inserted")
        );
        assert!(bench.reached(&node).await, "{what:?}");
        assert!(is_drift(
            bench
                .perform(&insert, &before)
                .await
                .expect_err("it changed")
        ));
        let after = read().await;
        assert!(
            bench
                .perform(&insert, &after)
                .await
                .expect("it is there already")
        );
        assert!(!bench.perform(&delete, &after).await.expect("it is deleted"));
        assert!(!bench.reached(&node).await, "{what:?}");
    }
    let read = || {
        bench.observe(Query::Node {
            node: node.clone(),
            what: NodeObservation::UfwStatus,
        })
    };
    let disable = Effect::UfwDisable { node: node.clone() };
    let enable = Effect::UfwEnable { node: node.clone() };
    let files = ufw_files(&read().await);
    assert_eq!(files.len(), 64, "{files:?}");
    assert!(
        !bench
            .perform(&disable, &read().await)
            .await
            .expect("it is off")
    );
    assert!(bench.reached(&node).await);
    assert!(
        bench
            .perform(&disable, &read().await)
            .await
            .expect("it is off already")
    );
    // What it would set in force is told while it is off, and fences that.
    let off = read().await;
    assert_eq!(ufw_files(&off), files);
    let edited = Observation {
        answer: off.answer.clone().map(|body| {
            let other = files.replace(|c: char| c.is_ascii_hexdigit(), "0");
            body.replace(&files, &other).into()
        }),
        ..off
    };
    assert!(is_drift(
        bench
            .perform(&enable, &edited)
            .await
            .expect_err("its files are others")
    ));
    assert!(bench.reached(&node).await);
    assert!(
        !bench
            .perform(&enable, &read().await)
            .await
            .expect("it is on")
    );
    assert!(!bench.reached(&node).await);
}
