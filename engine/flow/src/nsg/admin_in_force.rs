//! Which security admin rules are in force, as the networks themselves tell.

use serde_json::Value;

use super::admin::AdminRule;
use super::admin_policy::AdminPolicy;
use super::error::NsgError;
use super::tags::TagContext;

/// What is asked of a network, below its resource id: a POST whose answer lists
/// the rules (Azure REST API, "List Network Manager Effective Security Admin
/// Rules"). It takes the permission of that action, which a reader does not have.
pub const EFFECTIVE_ADMIN_RULES: &str = "listNetworkManagerEffectiveSecurityAdminRules";

/// Why rules are not known to a caller who may not ask for them.
pub const ADMIN_RULES_FORBIDDEN: &str = "reading them takes the permission Microsoft.Network/virtualNetworks/\
     listNetworkManagerEffectiveSecurityAdminRules/action";

/// A network of which the rules in force are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadAdminRules {
    /// The network, by name.
    pub network: String,
    /// Why: they were not told, or make no sense, or are not those of the other
    /// networks.
    pub reason: String,
}

/// The security admin rules in force on the networks of some machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminRulesInForce {
    /// The rules that are known; none where some are not.
    pub rules: Vec<AdminRule>,
    /// What is not known; then anything may be in force.
    pub unread: Option<UnreadAdminRules>,
}

impl AdminRulesInForce {
    /// Nothing is known.
    pub fn unread(network: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            rules: Vec::new(),
            unread: Some(UnreadAdminRules {
                network: network.into(),
                reason: reason.into(),
            }),
        }
    }

    /// From what each network answered to [`EFFECTIVE_ADMIN_RULES`], by the id of
    /// the network: its rules, or why it did not tell them. Rules that make no
    /// sense are as good as unread; and networks that do not have the same rules
    /// leave open which are in force.
    pub fn of_networks<'a>(
        answers: impl IntoIterator<Item = (&'a str, Result<Vec<Value>, String>)>,
    ) -> Self {
        let mut known: Option<Vec<AdminRule>> = None;
        for (id, answer) in answers {
            let network = id.rsplit('/').next().unwrap_or_default();
            let rules = answer.and_then(|rules| read(&rules).map_err(|e| e.to_string()));
            match (rules, &known) {
                (Err(reason), _) => return Self::unread(network, reason),
                (Ok(rules), Some(others)) if rules != *others => {
                    return Self::unread(network, "they are not those of the other networks");
                }
                (Ok(rules), _) => known = Some(rules),
            }
        }
        Self {
            rules: known.unwrap_or_default(),
            unread: None,
        }
    }

    /// Prefixes and service tags that the rules name.
    pub fn named_places(&self) -> impl Iterator<Item = &str> {
        let rules = self.rules.iter();
        rules.flat_map(|rule| {
            let places = rule.sources.iter().chain(&rule.destinations);
            places.map(String::as_str)
        })
    }

    /// The policy of what is known.
    ///
    /// # Errors
    /// [`NsgError`], as of [`AdminPolicy::new`].
    pub fn known_policy(&self, tags: &TagContext) -> Result<AdminPolicy, NsgError> {
        AdminPolicy::new(&self.rules, tags)
    }

    /// The policy of it all: what is not known may allow or deny any packet.
    ///
    /// # Errors
    /// [`NsgError`], as of [`AdminPolicy::new`].
    pub fn policy(&self, tags: &TagContext) -> Result<AdminPolicy, NsgError> {
        let known = self.known_policy(tags)?;
        Ok(match &self.unread {
            Some(unread) => known.with_unread(&unread.network, &unread.reason),
            None => known,
        })
    }
}

/// The rules, if a policy can be made of them; whether it can does not depend on
/// what tags stand for.
fn read(rules: &[Value]) -> Result<Vec<AdminRule>, NsgError> {
    let rules: Result<Vec<_>, _> = rules.iter().map(AdminRule::from_arm).collect();
    let mut rules = rules?;
    // Azure promises no order.
    rules.sort_unstable();
    AdminPolicy::new(&rules, &TagContext::new())?;
    Ok(rules)
}
