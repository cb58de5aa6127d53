//! What ufw loads when it starts, as `ufw-init` does it with `iptables-restore`.

use std::collections::BTreeMap;

use super::files::{Settings, UfwRules};
use super::kernel::{PRIMARY, UfwKernelError, WAYS, chain_names, prefix};
use crate::iptables::{Backend, Family, NodeFirewall, Ruleset, excerpt};

/// The firewall after `ufw enable`.
pub(super) fn enable(
    firewall: &mut NodeFirewall,
    backend: Backend,
    files: &UfwRules,
) -> Result<(), UfwKernelError> {
    if let Some(hook) = files.hooks.lines().find(|line| !line.trim().is_empty()) {
        return Err(UfwKernelError(format!(
            "it runs {} when it starts",
            excerpt(hook)
        )));
    }
    let settings = Settings(&files.defaults);
    let missing = |name: &str| UfwKernelError(format!("/etc/default/ufw does not set {name}"));
    let yes = |name: &str| settings.is_yes(name).ok_or_else(|| missing(name));
    if yes("MANAGE_BUILTINS")? {
        return Err(UfwKernelError("it manages the built-in chains".to_owned()));
    }
    let has_v6 = yes("IPV6")?;
    let policy = |name: &'static str| match settings.get(name) {
        Some(policy @ ("ACCEPT" | "DROP" | "REJECT")) => Ok(policy),
        _ => Err(missing(name)),
    };
    let policies = [
        policy("DEFAULT_INPUT_POLICY")?,
        policy("DEFAULT_OUTPUT_POLICY")?,
        policy("DEFAULT_FORWARD_POLICY")?,
    ];
    for loaded in &mut firewall.rulesets {
        if loaded.backend != backend {
            continue;
        }
        let family = loaded.ruleset.family;
        let mut tables = Tables::of(&loaded.ruleset.to_string())?;
        match family {
            Family::Ipv6 if !has_v6 => tables.close_v6(),
            Family::Ipv4 => {
                let texts = [&files.before_rules, &files.after_rules, &files.user_rules];
                tables.start(family, policies, texts)?;
            }
            Family::Ipv6 => {
                let texts = [
                    &files.before6_rules,
                    &files.after6_rules,
                    &files.user6_rules,
                ];
                tables.start(family, policies, texts)?;
            }
        }
        let text = tables.text();
        let mut ruleset = Ruleset::parse(family, &text)
            .map_err(|error| UfwKernelError(format!("the rules it would load: {error}")))?;
        ruleset.backend = loaded.ruleset.backend;
        ruleset.legacy_tables_present = loaded.ruleset.legacy_tables_present;
        ruleset
            .unreadable_tables
            .clone_from(&loaded.ruleset.unreadable_tables);
        loaded.ruleset = ruleset;
    }
    Ok(())
}

/// Chains with their rules as text, so that files can be loaded into them.
#[derive(Default)]
struct Tables(BTreeMap<String, Vec<Chain>>);

struct Chain {
    name: String,
    policy: String,
    rules: Vec<String>,
}

impl Tables {
    fn of(dump: &str) -> Result<Self, UfwKernelError> {
        let mut tables = Self::default();
        tables.restore(dump)?;
        Ok(tables)
    }

    fn filter(&mut self) -> &mut Vec<Chain> {
        self.0.entry("filter".to_owned()).or_default()
    }

    fn has(&self, name: &str) -> bool {
        let filter = self.0.get("filter");
        filter.is_some_and(|chains| chains.iter().any(|chain| chain.name == name))
    }

    fn chain(&mut self, name: &str) -> &mut Chain {
        self.in_table("filter", name)
    }

    fn in_table(&mut self, table: &str, name: &str) -> &mut Chain {
        let chains = self.0.entry(table.to_owned()).or_default();
        let at = match chains.iter().position(|chain| chain.name == name) {
            Some(at) => at,
            None => {
                let is_built_in = name.chars().all(|c| c.is_ascii_uppercase());
                chains.push(Chain {
                    name: name.to_owned(),
                    policy: if is_built_in { "ACCEPT" } else { "-" }.to_owned(),
                    rules: Vec::new(),
                });
                chains.len() - 1
            }
        };
        &mut chains[at]
    }

    /// `iptables-restore --noflush`: a chain of a user's that is declared is
    /// emptied, a built-in one given its policy.
    fn restore(&mut self, text: &str) -> Result<(), UfwKernelError> {
        let mut table = None;
        for line in text.lines().map(str::trim) {
            let refused = || UfwKernelError(format!("a file has {}", excerpt(line)));
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('*') {
                table = Some(name.to_owned());
                continue;
            }
            if line == "COMMIT" {
                table = None;
                continue;
            }
            let table = table.as_deref().ok_or_else(refused)?;
            if let Some(declared) = line.strip_prefix(':') {
                let mut words = declared.split_whitespace();
                let name = words.next().ok_or_else(refused)?;
                let policy = words.next().unwrap_or("-");
                let chain = self.in_table(table, name);
                if policy == "-" {
                    chain.rules.clear();
                } else {
                    policy.clone_into(&mut chain.policy);
                }
                continue;
            }
            let (command, rest) = line.split_once(' ').ok_or_else(refused)?;
            let (name, rule) = rest.trim_start().split_once(' ').ok_or_else(refused)?;
            match command {
                "-A" => self.in_table(table, name).rules.push(rule.to_owned()),
                "-I" if rule.starts_with('-') => {
                    self.in_table(table, name).rules.insert(0, rule.to_owned());
                }
                _ => return Err(refused()),
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        family: Family,
        policies: [&str; 3],
        [before, after, user]: [&String; 3],
    ) -> Result<(), UfwKernelError> {
        let prefix = prefix(family);
        if self.has(&format!("{prefix}-user-input")) {
            return Err(UfwKernelError("its chains are loaded already".to_owned()));
        }
        if [before, after, user].iter().any(|file| file.is_empty()) {
            return Err(UfwKernelError("one of its files was not read".to_owned()));
        }
        if self.has(&format!("{prefix}-before-logging-input")) {
            self.empty(family);
        } else {
            for (way, built_in) in WAYS.into_iter().zip(["INPUT", "OUTPUT", "FORWARD"]) {
                for kind in PRIMARY {
                    let name = format!("{prefix}-{kind}-{way}");
                    self.chain(built_in).rules.push(format!("-j {name}"));
                    self.chain(&name);
                }
            }
        }
        for (way, policy) in WAYS.into_iter().zip(policies) {
            if policy == "REJECT" {
                let chain = self.chain(&format!("{prefix}-reject-{way}"));
                chain.rules.push("-j REJECT".to_owned());
            }
            if policy == "ACCEPT" {
                let chain = self.chain(&format!("{prefix}-track-{way}"));
                for protocol in ["tcp", "udp"] {
                    chain.rules.push(format!(
                        "-p {protocol} -m conntrack --ctstate NEW -j ACCEPT"
                    ));
                }
            }
            let name = format!("{prefix}-skip-to-policy-{way}");
            if !self.has(&name) {
                self.chain(&name).rules.push(format!("-j {policy}"));
            }
        }
        // Chains that files jump to, and that other files fill.
        for name in chain_names(family) {
            self.chain(&name);
        }
        self.restore(before)?;
        self.restore(after)?;
        self.restore(user)?;
        for (way, policy) in WAYS.into_iter().zip(policies) {
            let chain = self.chain(&format!("{prefix}-before-{way}"));
            chain.rules.push(format!("-j {prefix}-user-{way}"));
            let policy = if policy == "REJECT" { "DROP" } else { policy };
            policy.clone_into(&mut self.chain(&way.to_uppercase()).policy);
        }
        Ok(())
    }

    /// Empties ufw's chains and takes away those that nothing jumps to.
    fn empty(&mut self, family: Family) {
        let own = chain_names(family);
        let prefix = prefix(family);
        let is_primary = |name: &str| {
            PRIMARY.iter().any(|kind| {
                WAYS.iter()
                    .any(|way| format!("{prefix}-{kind}-{way}") == name)
            })
        };
        for chain in self.filter().iter_mut() {
            if own.contains(&chain.name) {
                chain.rules.clear();
            }
        }
        self.filter()
            .retain(|chain| is_primary(&chain.name) || !own.contains(&chain.name));
    }

    /// What ufw loads for IPv6 when it is told not to support it: the whole
    /// table anew, with only the loopback open.
    fn close_v6(&mut self) {
        self.filter().clear();
        for name in ["INPUT", "FORWARD", "OUTPUT"] {
            "DROP".clone_into(&mut self.chain(name).policy);
        }
        for (name, option) in [("INPUT", "-i"), ("OUTPUT", "-o")] {
            let rule = format!("{option} lo -j ACCEPT");
            self.chain(name).rules.push(rule);
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (table, chains) in &self.0 {
            text.push_str(&format!("*{table}\n"));
            for chain in chains {
                text.push_str(&format!(":{} {} [0:0]\n", chain.name, chain.policy));
            }
            for chain in chains {
                for rule in &chain.rules {
                    text.push_str(&format!("-A {} {rule}\n", chain.name));
                }
            }
            text.push_str("COMMIT\n");
        }
        text
    }
}
