//! The kubeconfig that points clients to the emulated API server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Writes a kubeconfig as YAML.
pub(super) fn render(cluster: &str, server: &str, authority_pem: &str, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": cluster, "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(authority_pem),
        }}],
        "users": [{ "name": format!("clusterUser_{cluster}"), "user": { "token": token } }],
        "contexts": [{ "name": cluster, "context": {
            "cluster": cluster,
            "user": format!("clusterUser_{cluster}"),
        }}],
        "current-context": cluster,
        "preferences": {},
    });
    // JSON of this shape always becomes YAML; JSON itself is YAML too.
    serde_yaml_ng::to_string(&config).unwrap_or_else(|_| config.to_string())
}
