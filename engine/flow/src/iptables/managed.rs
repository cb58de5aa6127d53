//! Rules that belong to something else, which would put them back or break.

use super::ruleset::{Family, Rule};

/// Who keeps a chain or rule in order, when it is not a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ManagedBy {
    /// kube-proxy and kubelet: `KUBE-*`.
    Kubernetes,
    /// Azure network policy manager: `AZURE-NPM*`.
    AzureNetworkPolicy,
    /// Cilium: `CILIUM_*`, `OLD_CILIUM_*`, `cilium*`.
    Cilium,
    /// The IP masquerade agent: `IP-MASQ-AGENT`.
    IpMasqueradeAgent,
    /// Calico: `cali-*`, `cali:*`.
    Calico,
    /// CNI plugins: `CNI-*`.
    Cni,
    /// ufw: `ufw-*`, `ufw6-*`.
    Ufw,
}

/// Who manages a chain of that name.
pub fn managed_chain(chain: &str) -> Option<ManagedBy> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| chain.starts_with(prefix));
    if starts(&["KUBE-"]) {
        Some(ManagedBy::Kubernetes)
    } else if starts(&["AZURE-NPM"]) {
        Some(ManagedBy::AzureNetworkPolicy)
    } else if starts(&["CILIUM_", "OLD_CILIUM_", "cilium", "CILIUM-"]) {
        Some(ManagedBy::Cilium)
    } else if starts(&["IP-MASQ-AGENT"]) {
        Some(ManagedBy::IpMasqueradeAgent)
    } else if starts(&["cali-", "cali:"]) {
        Some(ManagedBy::Calico)
    } else if starts(&["CNI-"]) {
        Some(ManagedBy::Cni)
    } else if starts(&["ufw-", "ufw6-"]) {
        Some(ManagedBy::Ufw)
    } else {
        None
    }
}

/// Who manages a rule: because of the chain it stands in, the chain it leads
/// to, or the comment its owner puts on it.
pub fn managed_rule(chain: &str, rule: &Rule) -> Option<ManagedBy> {
    managed_chain(chain)
        .or_else(|| rule.target.chain().and_then(managed_chain))
        .or_else(|| rule.comment().and_then(managed_comment))
}

/// Who manages a rule given as `iptables-save` shows it, without "-A CHAIN". What
/// cannot be read as a rule is judged by its chain alone.
pub fn managed_specification(
    family: Family,
    chain: &str,
    specification: &str,
) -> Option<ManagedBy> {
    let words: Vec<&str> = specification.split_whitespace().collect();
    let leads_to: Vec<&str> = words
        .iter()
        .zip(words.iter().skip(1))
        .filter(|(option, _)| matches!(**option, "-j" | "-g" | "--jump" | "--goto"))
        .map(|(_, name)| *name)
        .filter(|name| managed_chain(name).is_some())
        .collect();
    match Rule::parse(family, specification, &leads_to) {
        Ok(rule) => managed_rule(chain, &rule),
        Err(_) => managed_chain(chain),
    }
}

fn managed_comment(comment: &str) -> Option<ManagedBy> {
    let starts = |prefix: &str| comment.starts_with(prefix);
    if starts("kubernetes ") || starts("kubernetes:") {
        Some(ManagedBy::Kubernetes)
    } else if starts("cilium:") || starts("cilium ") {
        Some(ManagedBy::Cilium)
    } else if starts("ip-masq-agent") {
        Some(ManagedBy::IpMasqueradeAgent)
    } else if starts("cali:") {
        Some(ManagedBy::Calico)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_cluster_are_recognised_wherever_they_stand() {
        let chains = [
            "KUBE-FIREWALL",
            "AZURE-NPM",
            "ufw-user-input",
            "cilium_x",
            "USER",
        ];
        let managed = |chain: &str, text: &str| {
            managed_rule(chain, &Rule::parse(Family::Ipv4, text, &chains).unwrap())
        };
        assert_eq!(
            managed("INPUT", "-j KUBE-FIREWALL"),
            Some(ManagedBy::Kubernetes)
        );
        assert_eq!(
            managed("KUBE-FIREWALL", "-j DROP"),
            Some(ManagedBy::Kubernetes)
        );
        assert_eq!(
            managed("FORWARD", "-j AZURE-NPM"),
            Some(ManagedBy::AzureNetworkPolicy)
        );
        assert_eq!(
            managed("ufw-user-input", "-p tcp --dport 22 -j DROP"),
            Some(ManagedBy::Ufw)
        );
        assert_eq!(
            managed("IP-MASQ-AGENT", "-j RETURN"),
            Some(ManagedBy::IpMasqueradeAgent)
        );
        let commented = "-m comment --comment \"kubernetes forwarding rules\" -j DROP";
        assert_eq!(managed("INPUT", commented), Some(ManagedBy::Kubernetes));
        let shown = |text| managed_specification(Family::Ipv4, "INPUT", text);
        assert_eq!(shown("-j AZURE-NPM"), Some(ManagedBy::AzureNetworkPolicy));
        assert_eq!(shown(commented), Some(ManagedBy::Kubernetes));
        assert_eq!(shown("-p tcp -m tcp --dport 10250 -j DROP"), None);
        assert_eq!(managed("INPUT", "-j USER"), None);
        assert_eq!(managed("INPUT", "-p tcp --dport 10250 -j DROP"), None);
    }
}
