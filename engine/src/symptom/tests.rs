use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::{Evidence, Judgement, NodeAnswer, TunnelAnswer};

fn symptom(text: &str) -> Symptom {
    Symptom {
        text: text.to_owned(),
        nodes: Vec::new(),
    }
}

fn nodes() -> Vec<Value> {
    (4..7)
        .map(|last| {
            json!({ "metadata": { "name": format!("aks-pool-1-vmss00000{}", last - 4) },
                "status": { "addresses": [
                    { "type": "InternalIP", "address": format!("10.224.0.{last}") },
                    { "type": "InternalIP", "address": format!("fd00::{last}") }] } })
        })
        .collect()
}

#[test]
fn each_known_text_is_told_by_its_deciding_words() {
    use HintKind::*;
    for (text, kind, bearing) in [
        (
            "dial tcp 10.224.0.5:10250: i/o timeout",
            DialTimeout,
            Bearing::Tunnel,
        ),
        (
            "Error from server: error dialing backend: dial tcp 10.224.0.5:10250: getsockopt: connection timed out",
            DialTimeout,
            Bearing::Tunnel,
        ),
        (
            "Error from server: error dialing backend: EOF",
            ConnectionLost,
            Bearing::Tunnel,
        ),
        (
            "Error from server: Get \"https://10.224.0.5:10250/containerLogs/a/b/c\": http2: client connection lost",
            ConnectionLost,
            Bearing::Tunnel,
        ),
        (
            "Error from server: Get \"https://aks-pool-1-vmss000001:10250/containerLogs/a/b/c\": EOF",
            ConnectionLost,
            Bearing::Tunnel,
        ),
        (
            "error dialing backend: No agent available",
            NoAgent,
            Bearing::Tunnel,
        ),
        (
            "dial tcp 10.224.0.6:10250: connect: connection refused",
            Refused,
            Bearing::Open,
        ),
        (
            "error dialing backend: remote error: tls: internal error",
            KubeletTls,
            Bearing::Elsewhere,
        ),
        (
            "Get \"https://10.224.0.5:10250/\": x509: certificate has expired",
            KubeletTls,
            Bearing::Elsewhere,
        ),
        (
            "HTTP: Server gave HTTP response to HTTPS client",
            PlainHttp,
            Bearing::Open,
        ),
        (
            "Error from server (Forbidden): pods \"x\" is forbidden: User \"u\" cannot get resource \"pods/log\"",
            NotAuthorized,
            Bearing::Elsewhere,
        ),
        (
            "error: You must be logged in to the server (Unauthorized)",
            NotAuthorized,
            Bearing::Elsewhere,
        ),
        (
            "Unable to connect to the server: dial tcp 20.1.2.3:443: i/o timeout",
            ApiServer,
            Bearing::Elsewhere,
        ),
        (
            "failed calling webhook \"v.x.io\": failed to call webhook: Post \"https://x.y.svc:443/\": context deadline exceeded",
            Webhook,
            Bearing::Open,
        ),
        (
            "container \"web\" in pod \"web-1\" is waiting to start: ContainerCreating",
            Workload,
            Bearing::Elsewhere,
        ),
        ("it is broken", Unrecognized, Bearing::Open),
    ] {
        let hint = read(&symptom(text)).unwrap();
        assert_eq!((hint.kind, hint.bearing), (kind, bearing), "{text}");
        assert!(
            hint.meaning.ends_with('.') && hint.next.ends_with('.'),
            "{text}"
        );
    }
    assert_eq!(read(&Symptom::default()), None);
}

#[test]
fn of_several_lines_the_one_that_speaks_for_the_tunnel_decides() {
    let text = "$ kubectl logs web-1\nremote error: tls: internal error\n$ kubectl logs web-2\n\
                dial tcp 10.224.0.5:10250: i/o timeout\nwhat is this?";
    assert_eq!(kind_of(text), HintKind::DialTimeout);
    assert_eq!(
        kind_of("hello\nremote error: tls: internal error"),
        HintKind::KubeletTls
    );
}

#[test]
fn names_and_addresses_become_the_clusters_own_nodes() {
    let mut given = symptom(
        "Get \"https://10.224.0.5:10250/containerLogs/ns/pod/c\": dial tcp [fd00::6]:10250: i/o \
         timeout at 12:30:05 on AKS-pool-1-vmss000000, not on 127.0.0.1:80 or 192.0.2.1.",
    );
    given.nodes = vec!["10.224.0.6".into(), "aks-gone".into()];
    let mut hint = read(&given).unwrap();
    hint.locate(&given, &nodes());
    let names = [2, 1, 0].map(|n| format!("aks-pool-1-vmss00000{n}"));
    assert_eq!(hint.nodes, names);
    assert_eq!(hint.unknown_nodes, ["aks-gone"]);
    assert_eq!(hint.addresses, ["10.224.0.5", "fd00::6", "192.0.2.1"]);
    assert_eq!(hint.ports, [10250]);
    let told = hint.symptom_for_plugins(&given);
    assert_eq!(told.nodes[3], "aks-gone");
}

#[test]
fn evidence_about_a_named_node_comes_first_and_none_is_lost() {
    let evidence = |resource: &str, meaning: &str| Evidence {
        resource: resource.into(),
        field: "f".into(),
        value: "v".into(),
        observed_at: Timestamp::UNIX_EPOCH,
        meaning: meaning.into(),
    };
    let mut finding = Finding {
        plugin: "p".into(),
        cause: "c".into(),
        judgement: Judgement::Confirmed,
        summary: String::new(),
        evidence: vec![
            evidence("node/aks-pool-1-vmss0000010", "another name that begins so"),
            evidence("/subscriptions/x", "first of the rest"),
            evidence("/subscriptions/y", "the way to aks-pool-1-vmss000001"),
            evidence("node/aks-pool-1-vmss000001", "m"),
        ],
        required_flows: vec![],
        infeasible: None,
        subject: Value::Null,
    };
    let given = symptom("dial tcp 10.224.0.5:10250: i/o timeout");
    let mut hint = read(&given).unwrap();
    hint.locate(&given, &nodes());
    hint.sort_evidence(&mut finding);
    let order: Vec<&str> = finding
        .evidence
        .iter()
        .map(|e| e.resource.as_str())
        .collect();
    assert_eq!(
        order,
        [
            "/subscriptions/y",
            "node/aks-pool-1-vmss000001",
            "node/aks-pool-1-vmss0000010",
            "/subscriptions/x"
        ]
    );
}

fn answers(others: &[(&str, TunnelAnswer)]) -> TunnelAnswers {
    let unreached = others
        .iter()
        .filter(|(_, answer)| *answer != TunnelAnswer::KubeletFault)
        .count();
    TunnelAnswers {
        nodes: 3,
        asked: 3,
        reached: 3 - u32::try_from(unreached).unwrap(),
        others: others
            .iter()
            .map(|(node, answer)| NodeAnswer {
                node: (*node).to_owned(),
                answer: *answer,
                detail: "words".into(),
            })
            .collect(),
        ..TunnelAnswers::default()
    }
}

#[test]
fn what_text_and_probe_say_is_told_of_both_and_the_probe_decides() {
    let says = |text: &str, others: &[(&str, TunnelAnswer)]| {
        let given = symptom(text);
        let mut hint = read(&given).unwrap();
        hint.locate(&given, &nodes());
        hint.weigh(Some(&answers(others)));
        hint.probe
    };
    let timeout = "dial tcp 10.224.0.5:10250: i/o timeout";
    let certificate = "remote error: tls: internal error";
    let silent = [("aks-pool-1-vmss000002", TunnelAnswer::Silent)];
    let faulty = [("aks-pool-1-vmss000001", TunnelAnswer::KubeletFault)];
    assert!(says(timeout, &silent).starts_with("The probe agrees: 1 of 3"));
    assert!(says(timeout, &silent).contains("names (aks-pool-1-vmss000001) are reached"));
    assert!(says(timeout, &[]).contains("but all 3 nodes asked were reached"));
    assert!(says(timeout, &faulty).contains("at fault itself, is the kubelet of aks-pool-1"));
    assert!(says(certificate, &faulty).starts_with("The probe agrees: all 3"));
    assert!(says(certificate, &silent).contains("another fault"));
    let mut hint = read(&symptom(timeout)).unwrap();
    hint.weigh(None);
    assert!(hint.probe.starts_with("No node was asked"));
}

proptest! {
    #[test]
    fn any_text_is_read_within_bounds_and_alike_each_time(
        text in prop_oneof![
            any::<String>(),
            prop::collection::vec(prop_oneof![
                Just("dial tcp "), Just("10.224.0.5:10250"), Just("[fd00::5]:"), Just("\u{1b}[2J"),
                Just("i/o timeout"), Just("x509:"), Just("\n"), Just(":::"), Just("İ"), Just("EOF"),
            ], 0..400).prop_map(|parts| parts.concat()),
        ],
        given in prop::collection::vec(any::<String>(), 0..80),
    ) {
        let symptom = Symptom { text, nodes: given };
        let Some(mut hint) = read(&symptom) else {
            prop_assert!(symptom.text.trim().is_empty() && symptom.nodes.is_empty());
            return Ok(());
        };
        hint.locate(&symptom, &nodes());
        hint.weigh(None);
        for length in [hint.nodes.len(), hint.addresses.len(), hint.ports.len(), hint.unknown_nodes.len()] {
            prop_assert!(length <= KEPT_AT_MOST);
        }
        prop_assert!(hint.nodes.iter().all(|n| n.starts_with("aks-pool-1")));
        let mut again = read(&symptom).unwrap();
        again.locate(&symptom, &nodes());
        again.weigh(None);
        prop_assert_eq!(hint, again);
    }

    #[test]
    fn what_follows_the_part_that_is_read_changes_nothing(tail in any::<String>()) {
        let head = format!("{}\n", "x".repeat(READ_AT_MOST));
        let long = read(&symptom(&format!("{head}{tail} 10.0.0.9 No agent available"))).unwrap();
        prop_assert_eq!(long, read(&symptom(&head)).unwrap());
    }
}

#[test]
fn every_kind_and_its_bearing_is_documented() {
    let page = include_str!("../../../docs/symptoms.md");
    for kind in HintKind::ALL {
        let name = |value: Value| value.as_str().unwrap().to_owned();
        let kind_name = name(serde_json::to_value(kind).unwrap());
        let bearing = name(serde_json::to_value(bearing_of(kind)).unwrap());
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{kind_name}` |")));
        let row = row.unwrap_or_else(|| panic!("{kind_name} has no row"));
        assert!(row.ends_with(&format!("| `{bearing}` |")), "{row}");
    }
}
