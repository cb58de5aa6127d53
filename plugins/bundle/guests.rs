// The guests that are built. Included by build.rs and by lib.rs, so that both
// speak of the same list.

/// Id of each first-party plugin; its crate is `naosu-<id>` in `plugins/<id>`.
pub const GUESTS: &[&str] = &[
    "egress-open-port",
    "iptables-delete-rule",
    "konnectivity-scale",
    "nsg-allow-port",
    "route-advice",
    "snat-connection-reuse",
    "snat-nat-gateway",
    "snat-outbound-ports",
    "tunnel-pods-recreate",
    "ufw-allow-port",
    "ufw-disable",
];
