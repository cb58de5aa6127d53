//! The closed list of what a component may import.

use wasmtime::{Engine, component::Component};

const CONTRACT: [&str; 2] = ["naosu:plugin/observe@0.1.0", "naosu:plugin/types@0.1.0"];

/// Of WASI 0.2: what the standard library of a guest needs to start. All of it
/// is linked empty.
const WASI: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Whether the host gives the import of this full name.
pub(super) fn is_allowed(import: &str) -> bool {
    CONTRACT.contains(&import)
        || import.split_once('@').is_some_and(|(name, version)| {
            WASI.contains(&name) && (version == "0.2" || version.starts_with("0.2."))
        })
}

/// All imports of a component, by full name, in its order.
pub(super) fn of(engine: &Engine, component: &Component) -> Vec<String> {
    component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_http_and_other_versions_are_not_allowed() {
        for allowed in [
            "naosu:plugin/observe@0.1.0",
            "wasi:io/streams@0.2.6",
            "wasi:cli/exit@0.2.0",
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in [
            "wasi:sockets/tcp@0.2.6",
            "wasi:http/outgoing-handler@0.2.6",
            "wasi:io/streams@0.3.0",
            "wasi:io/streams",
            "naosu:plugin/observe@0.2.0",
            "env",
            "",
        ] {
            assert!(!is_allowed(refused), "{refused}");
        }
    }
}
