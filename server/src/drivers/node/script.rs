//! The scripts that run on nodes: files of this crate, with checked values.

use uuid::Uuid;

use super::error::NodeError;

/// How much of the packed output one run command prints. With both markers it
/// stays below the 4,096 bytes that Run Command keeps.
pub const PAGE_BYTES: usize = 3_400;

const ENVIRONMENT: &str = include_str!("scripts/environment.sh");
const SECTIONS: &str = include_str!("scripts/sections.sh");
const PACK: &str = include_str!("scripts/pack.sh");
const PAGE: &str = include_str!("scripts/page.sh");

/// Bodies of the scripts.
pub mod body {
    /// `ufw status`.
    pub const UFW_STATUS: &str = concat!(
        include_str!("scripts/ufw_files.sh"),
        include_str!("scripts/ufw_status.sh")
    );
    /// The rules that ufw keeps.
    pub const UFW_RULES: &str = include_str!("scripts/ufw_rules.sh");
    /// All `*-save` outputs.
    pub const FIREWALL_RULESET: &str = include_str!("scripts/firewall_ruleset.sh");
    /// `ss -l`.
    pub const LISTENING_SOCKETS: &str = include_str!("scripts/listening_sockets.sh");
    /// `ss` and tracked connections.
    pub const OUTBOUND_CONNECTIONS: &str = include_str!("scripts/outbound_connections.sh");
    /// TCP connections, several at once.
    pub const TCP_PROBE: &str = include_str!("scripts/tcp_probe.sh");
    /// Adds or deletes one rule of ufw.
    pub const UFW_RULE: &str = concat!(
        include_str!("scripts/ufw_fence.sh"),
        include_str!("scripts/ufw_state.sh"),
        include_str!("scripts/ufw_rule.sh")
    );
    /// Turns ufw on or off.
    pub const UFW_SWITCH: &str = concat!(
        include_str!("scripts/ufw_files.sh"),
        include_str!("scripts/ufw_fence.sh"),
        include_str!("scripts/ufw_state.sh"),
        include_str!("scripts/ufw_switch.sh")
    );
    /// Inserts or deletes one rule of iptables.
    pub const IPTABLES_RULE: &str = include_str!("scripts/iptables_rule.sh");
}

/// One script, ready to run once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Marks this run's output; nobody on the node can know it before.
    pub nonce: String,
    /// The whole text.
    pub text: String,
}

impl Script {
    /// A script of `body`, with these variables set.
    ///
    /// # Errors
    /// [`NodeError::Invalid`] for a value that does not stay one word in any shell.
    pub fn new(body: &str, variables: &[(&'static str, &str)]) -> Result<Self, NodeError> {
        let nonce = Uuid::new_v4().simple().to_string();
        let mut text = head(&nonce);
        for (name, value) in variables {
            text.push_str(&assignment(name, value)?);
        }
        text.push_str(SECTIONS);
        text.push_str("naosu_body() {\n");
        text.push_str(body);
        text.push_str("}\n");
        text.push_str(PACK);
        Ok(Self { nonce, text })
    }

    /// The script that prints page `page` of what the script under `source` printed.
    pub fn page(source: &str, page: usize) -> Self {
        let nonce = Uuid::new_v4().simple().to_string();
        let head = head(&nonce);
        Self {
            text: format!("{head}naosu_source='{source}'\nnaosu_page='{page}'\n{PAGE}"),
            nonce,
        }
    }
}

fn head(nonce: &str) -> String {
    let shape = "[0-9a-f]".repeat(nonce.len());
    format!(
        "naosu_nonce='{nonce}'\nnaosu_nonce_shape='{shape}'\n\
         naosu_page_bytes='{PAGE_BYTES}'\n{ENVIRONMENT}"
    )
}

/// In single quotes a shell interprets nothing; what could end them is refused,
/// as is everything that no value here needs.
fn assignment(name: &'static str, value: &str) -> Result<String, NodeError> {
    let is_plain = value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " .:/_-+=,%".contains(c));
    if is_plain {
        Ok(format!("{name}='{value}'\n"))
    } else {
        Err(NodeError::invalid(
            name,
            value,
            "it has characters that no address, port or name has",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_leave_its_quotes() {
        for hostile in ["'; reboot; '", "$(id)", "`id`", "a\nb", "a\\", "é", "\u{0}"] {
            let built = Script::new(body::TCP_PROBE, &[("probe_host", hostile)]);
            assert!(
                matches!(built, Err(NodeError::Invalid { .. })),
                "{hostile:?}"
            );
        }
    }

    #[test]
    fn each_run_has_its_own_nonce() {
        let one = Script::new(body::UFW_STATUS, &[]).unwrap();
        let two = Script::new(body::UFW_STATUS, &[]).unwrap();
        assert_ne!(one.nonce, two.nonce);
        assert!(one.text.contains(&one.nonce));
    }
}
