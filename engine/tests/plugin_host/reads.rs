//! What a guest is given of what it reads, how much, and what becomes of failures.

use naosu_engine::{
    Code,
    model::{Capability, ObserveError, ObserveErrorKind, Query},
    plugin::{HostSettings, Limits, PluginHost},
};

use crate::support::{
    Always, diagnose_reading, file, granting, hostile_describing, limits, settings,
};

fn failing(kind: ObserveErrorKind, code: Code) -> Result<&'static str, ObserveError> {
    Err(ObserveError {
        kind,
        code,
        message: "as the driver said it".to_owned(),
    })
}

#[tokio::test]
async fn a_failed_read_that_a_plugin_hands_on_keeps_its_code() {
    use ObserveErrorKind::{Forbidden, Invalid, NotFound, Truncated, Unavailable};
    let plugin = crate::support::hostile().await;
    for (kind, code) in [
        (Unavailable, Code::AzureThrottled),
        (Unavailable, Code::AzureUnreachable),
        (Unavailable, Code::NodeBusy),
        (Unavailable, Code::NodeOutputMalformed),
        (Unavailable, Code::PluginLimitExceeded),
        (Forbidden, Code::AzureUnauthenticated),
        (Forbidden, Code::KubernetesForbidden),
        (Invalid, Code::Unsupported),
        (NotFound, Code::KubernetesNotFound),
        (Truncated, Code::NodeOutputTruncated),
    ] {
        let reads = Always::new(failing(kind, code));
        let error = diagnose_reading(&*plugin, "hand-on", reads).await;
        let error = error.unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains("as the driver said it"), "{error}");
    }
}

#[tokio::test]
async fn a_failed_read_that_never_was_is_the_plugins_own_fault() {
    let plugin = crate::support::hostile().await;
    let reads = Always::new(Ok("{}"));
    let error = diagnose_reading(&*plugin, "invent", reads).await;
    assert_eq!(error.unwrap_err().code, Code::PluginMisbehaved);
}

#[tokio::test]
async fn too_many_reads_are_a_limit_and_not_a_peer_that_is_silent() {
    let settings = HostSettings {
        limits: Limits {
            reads: 10,
            ..limits()
        },
        ..settings()
    };
    let host = PluginHost::new(settings).unwrap();
    let plugin = host.load(naosu_bundle::HOSTILE, file()).await.unwrap();
    let reads = Always::new(Ok("{}"));
    let error = diagnose_reading(&*plugin, "hand-on-last", reads.clone()).await;
    let error = error.unwrap_err();
    assert_eq!(error.code, Code::PluginLimitExceeded, "{error}");
    assert!(error.message.contains("all its 10 reads"), "{error}");
    assert_eq!(reads.asked.lock().unwrap().len(), 10);
}

#[tokio::test]
async fn copies_of_one_answer_are_given_up_to_the_limit_and_no_further() {
    let settings = HostSettings {
        limits: Limits {
            answer_bytes: 100_000,
            ..limits()
        },
        ..settings()
    };
    let host = PluginHost::new(settings).unwrap();
    let plugin = host.load(naosu_bundle::HOSTILE, file()).await.unwrap();
    let body = "x".repeat(1_000);
    let reads = Always::new(Ok(body.as_str()));
    let finding = diagnose_reading(&*plugin, "copies", reads).await.unwrap();
    let said = finding.summary;
    assert!(said.starts_with("100 Some"), "{said}");
    assert!(said.contains("at most 100000 bytes"), "{said}");
}

#[tokio::test]
async fn a_plugin_may_probe_addresses_and_the_api_servers_own_names_and_no_others() {
    let settings = HostSettings {
        grants: granting(&[
            Capability::AzureRead,
            Capability::KubernetesRead,
            Capability::Probe,
        ]),
        ..settings()
    };
    let host = PluginHost::new(settings).unwrap();
    let plugin = host.load(&hostile_describing("probe"), file()).await;
    let plugin = plugin.unwrap();
    let cluster = r#"{"properties":{"fqdn":"aks-1.hcp.westeurope.azmk8s.io",
        "privateFQDN":"aks-1.privatelink.westeurope.azmk8s.io"}}"#;
    for (host, is_tried) in [
        ("10.0.0.4", true),
        ("fd00::4", true),
        ("aks-1.hcp.westeurope.azmk8s.io", true),
        ("AKS-1.privatelink.westeurope.azmk8s.io", true),
        ("c2VjcmV0.attacker.example", false),
        ("x.aks-1.hcp.westeurope.azmk8s.io", false),
        ("node-0", false),
        ("0x0a000004", false),
    ] {
        let reads = Always::new(Ok(cluster));
        let text = format!("probe {host}");
        let finding = diagnose_reading(&*plugin, &text, reads.clone()).await;
        let said = finding.unwrap().summary;
        assert_eq!(said == "tried", is_tried, "{host}: {said}");
        assert!(is_tried || said.contains("NotGranted"), "{host}: {said}");
        let asked = reads.asked.lock().unwrap();
        let probed = asked.iter().any(|q| matches!(q, Query::TcpProbe { .. }));
        assert_eq!(probed, is_tried, "{host}");
    }
}

#[tokio::test]
async fn no_name_is_probed_while_the_clusters_own_are_not_known() {
    let settings = HostSettings {
        grants: granting(&[
            Capability::AzureRead,
            Capability::KubernetesRead,
            Capability::Probe,
        ]),
        ..settings()
    };
    let host = PluginHost::new(settings).unwrap();
    let plugin = host.load(&hostile_describing("probe"), file()).await;
    let kind = ObserveErrorKind::Unavailable;
    for answer in [failing(kind, Code::AzureThrottled), Ok("no JSON")] {
        let reads = Always::new(answer);
        let plugin = plugin.as_ref().unwrap();
        let finding = diagnose_reading(&**plugin, "probe aks.example", reads.clone()).await;
        assert_ne!(finding.unwrap().summary, "tried");
        assert_eq!(reads.asked.lock().unwrap().len(), 1, "the cluster alone");
    }
}
