//! The kinds of text, by the words that decide, and what each means.

use crate::model::{Bearing, HintKind};

/// What a kind means.
pub(super) struct Meaning {
    pub bearing: Bearing,
    pub meaning: &'static str,
    pub next: &'static str,
    pub causes: &'static [&'static str],
}

/// Words of which all must be in a line, in lower case. The first row that fits
/// decides: what wraps an error ("error dialing backend") stands below what it
/// wraps.
const WORDS: &[(&[&str], HintKind)] = &[
    (&["no agent available"], HintKind::NoAgent),
    (&["unable to connect to the server"], HintKind::ApiServer),
    (
        &["the connection to the server", "was refused"],
        HintKind::ApiServer,
    ),
    (
        &["couldn't get current server api group list"],
        HintKind::ApiServer,
    ),
    (
        &["server gave http response to https client"],
        HintKind::PlainHttp,
    ),
    (&["remote error: tls:"], HintKind::KubeletTls),
    (&["tls: failed to verify certificate"], HintKind::KubeletTls),
    (&["x509:"], HintKind::KubeletTls),
    (
        &["first record does not look like a tls handshake"],
        HintKind::KubeletTls,
    ),
    (&["failed calling webhook"], HintKind::Webhook),
    (&["failed to call webhook"], HintKind::Webhook),
    (
        &["the server is currently unable to handle the request"],
        HintKind::Webhook,
    ),
    (&["connection refused"], HintKind::Refused),
    (&["no route to host"], HintKind::Refused),
    (&["network is unreachable"], HintKind::Refused),
    (&["i/o timeout"], HintKind::DialTimeout),
    (&["connection timed out"], HintKind::DialTimeout),
    (&["context deadline exceeded"], HintKind::DialTimeout),
    (
        &["request canceled while waiting for connection"],
        HintKind::DialTimeout,
    ),
    (
        &["timeout exceeded while awaiting headers"],
        HintKind::DialTimeout,
    ),
    (&["http2: client connection lost"], HintKind::ConnectionLost),
    (&["tls handshake timeout"], HintKind::ConnectionLost),
    (&["connection reset by peer"], HintKind::ConnectionLost),
    (&["unexpected eof"], HintKind::ConnectionLost),
    (&["error dialing backend", "eof"], HintKind::ConnectionLost),
    (&["10250", "eof"], HintKind::ConnectionLost),
    (
        &["error trying to reach service", "eof"],
        HintKind::ConnectionLost,
    ),
    (&["lost connection to pod"], HintKind::ConnectionLost),
    (&["error from server (forbidden)"], HintKind::NotAuthorized),
    (
        &["error from server (unauthorized)"],
        HintKind::NotAuthorized,
    ),
    (&["is forbidden:"], HintKind::NotAuthorized),
    (&["forbidden (user="], HintKind::NotAuthorized),
    (
        &["you must be logged in to the server"],
        HintKind::NotAuthorized,
    ),
    (&["waiting to start"], HintKind::Workload),
    (&["error from server (notfound)"], HintKind::Workload),
    (&["container not found"], HintKind::Workload),
    (&["previous terminated container"], HintKind::Workload),
    (
        &["cannot exec into a container in a completed pod"],
        HintKind::Workload,
    ),
    (&["does not have a host assigned"], HintKind::Workload),
    (&["error dialing backend"], HintKind::ConnectionLost),
];

/// The kind of a text. Of several lines one that speaks for the tunnel decides,
/// so that no fault of it is missed; then one that speaks against it.
pub fn kind_of(text: &str) -> HintKind {
    let kinds = text.lines().map(kind_of_line);
    let weight = |kind: &HintKind| match (kind, meaning(*kind).bearing) {
        (HintKind::Unrecognized, _) => 3,
        (_, Bearing::Tunnel) => 0,
        (_, Bearing::Elsewhere) => 1,
        (_, Bearing::Open) => 2,
    };
    // The first of the lightest.
    kinds.min_by_key(weight).unwrap_or(HintKind::Unrecognized)
}

fn kind_of_line(line: &str) -> HintKind {
    let line = line.to_lowercase();
    WORDS
        .iter()
        .find(|(words, _)| words.iter().all(|word| line.contains(word)))
        .map_or(HintKind::Unrecognized, |(_, kind)| *kind)
}

/// Stable ids of causes, as the first-party plugins have them.
const NSG: &str = "nsg-blocks-tunnel";
const UFW: &str = "ufw-blocks-tunnel";
const IPTABLES: &str = "iptables-blocks-tunnel";
const AGENTS: &str = "tunnel-agents-stale";
const SCALE: &str = "konnectivity-underscaled";
const SNAT: &str = "snat-exhausted";
const EGRESS: &str = "egress-blocks-tunnel";
const ROUTE: &str = "route-diverts-tunnel";

/// What a kind means.
pub(super) fn meaning(kind: HintKind) -> &'static Meaning {
    match kind {
        HintKind::DialTimeout => &Meaning {
            bearing: Bearing::Tunnel,
            meaning: "Packets to the kubelet, or their answers, are lost on the way, or the \
                      tunnel agent that was asked to dial does not.",
            next: "Look at the findings: a firewall that drops is confirmed or ruled out by its \
                   own rules.",
            causes: &[NSG, IPTABLES, UFW, AGENTS, ROUTE],
        },
        HintKind::ConnectionLost => &Meaning {
            bearing: Bearing::Tunnel,
            meaning: "A connection through the tunnel stopped carrying: its packets are dropped \
                      by now, or the agent that carried it is gone or out of memory.",
            next: "Look at the findings on firewalls and on the agents' restarts.",
            causes: &[NSG, IPTABLES, UFW, AGENTS, SCALE],
        },
        HintKind::NoAgent => &Meaning {
            bearing: Bearing::Tunnel,
            meaning: "No tunnel agent is connected to the control plane: none runs, or none gets \
                      out of its node.",
            next: "Look at the findings on the agents and on their way out.",
            causes: &[AGENTS, EGRESS, NSG, ROUTE, SNAT, SCALE],
        },
        HintKind::Refused => &Meaning {
            bearing: Bearing::Open,
            meaning: "The node's network answered and turned the packets away: nothing listens \
                      on the port, or a firewall on the node rejects instead of dropping.",
            next: "If no firewall is confirmed, see whether the kubelet runs: `kubectl get node` \
                   and, on the node, `systemctl status kubelet`.",
            causes: &[IPTABLES, UFW],
        },
        HintKind::KubeletTls => &Meaning {
            bearing: Bearing::Elsewhere,
            meaning: "The kubelet's port was reached and ended the TLS handshake: its serving \
                      certificate is missing, expired or not trusted. That is not the tunnel.",
            next: "`kubectl get csr` shows serving certificate requests that wait; approve the \
                   node's, or restart its kubelet or reimage the node.",
            causes: &[],
        },
        HintKind::PlainHttp => &Meaning {
            bearing: Bearing::Open,
            meaning: "Something answered in plain HTTP where TLS was expected: on one node its \
                      kubelet's port is at fault; on every node what answers may be the tunnel \
                      or a proxy in front of it.",
            next: "See below which nodes answer so. For a single node, see on it which process \
                   listens on 10250: `ss -lntp`.",
            causes: &[AGENTS],
        },
        HintKind::NotAuthorized => &Meaning {
            bearing: Bearing::Elsewhere,
            meaning: "The request arrived and was not allowed. That is not the tunnel.",
            next: "`kubectl auth can-i get pods/log` shows what the user may do; the message \
                   names the right that is missing.",
            causes: &[],
        },
        HintKind::ApiServer => &Meaning {
            bearing: Bearing::Elsewhere,
            meaning: "The API server itself was not reached from where the command ran. That is \
                      not the tunnel, which lies behind it.",
            next: "Check the network and DNS of that machine, the cluster's authorized IP ranges, \
                   and for a private cluster its private endpoint; `az aks show --query \
                   powerState` says whether the cluster runs.",
            causes: &[],
        },
        HintKind::Webhook => &Meaning {
            bearing: Bearing::Open,
            meaning: "An admission webhook or an aggregated API in the cluster did not answer \
                      the API server. It is reached through the tunnel too, and may be down by \
                      itself.",
            next: "If the tunnel carries, look at the pods behind the service that the message \
                   names.",
            causes: &[AGENTS, SCALE],
        },
        HintKind::Workload => &Meaning {
            bearing: Bearing::Elsewhere,
            meaning: "The pod or container asked for is not there or does not run. That is not \
                      the tunnel.",
            next: "`kubectl describe pod` says why it does not run.",
            causes: &[],
        },
        HintKind::Unrecognized => &Meaning {
            bearing: Bearing::Open,
            meaning: "The text is none that is known, so every cause is judged without it.",
            next: "Paste the whole line that kubectl printed.",
            causes: &[],
        },
    }
}
