//! What ufw says of itself on a node, where the kernel's rules are not given.

use std::path::Path;

use naosu_engine::Error;
use naosu_flow::{
    iptables::{Family, Knowledge},
    policy::{Rule, RuleMatch, RulePolicy, Verdict},
    set::{AddressSet, Atom, FlowBox},
    ufw::{UFW_POLICY_NAME, UfwDefaults, UfwDirection, UfwPolicy, UfwRule, UfwStatus},
};

use super::read;

/// The files of one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct UfwFiles<'a> {
    /// Output of `ufw status verbose` or `ufw status numbered`.
    pub status: Option<&'a Path>,
    /// Output of `ufw show added`.
    pub added: Option<&'a Path>,
    /// `/etc/ufw/user.rules`.
    pub user_rules: Option<&'a Path>,
    /// `/etc/ufw/user6.rules`.
    pub user6_rules: Option<&'a Path>,
}

/// What they say.
pub struct UfwWords {
    /// What ufw does with packets that the node receives or sends.
    pub policy: RulePolicy,
    /// What it says of those that the node passes on, which is not judged: other
    /// rules of a cluster's node come before.
    pub passed_on: Vec<String>,
    /// What they leave open.
    pub notes: Vec<String>,
}

impl UfwFiles<'_> {
    /// Whether there is one.
    pub fn is_given(&self) -> bool {
        let files = [self.status, self.added, self.user_rules, self.user6_rules];
        files.into_iter().any(|file| file.is_some())
    }

    /// What they say, where this is known of the node.
    pub fn words(&self, knowledge: &Knowledge) -> Result<UfwWords, Error> {
        let status = self.status.map(read::ufw_status).transpose()?;
        let report = match status {
            Some(UfwStatus::Absent) => return Ok(UfwWords::all_pass("there is no ufw")),
            Some(UfwStatus::Inactive) => return Ok(UfwWords::all_pass("ufw is inactive")),
            Some(UfwStatus::Active(report)) => Some(report),
            None => None,
        };
        let is_active = report.is_some();
        let (defaults, of_status) = match report {
            Some(report) => (report.defaults, report.rules),
            None => (None, Vec::new()),
        };
        let (rules, not_given) = self.rules(of_status)?;
        let mut notes = Vec::new();
        let passed_on = passed_on(&rules, defaults);
        let policy = UfwPolicy {
            rules,
            defaults,
            in_interface: knowledge.in_interface.clone(),
            out_interface: knowledge.out_interface.clone(),
        };
        let mut policy = policy.as_rules();
        if let Some(family) = not_given {
            policy.rules.insert(0, of_family(family));
        }
        if !is_active {
            notes.push("whether ufw is active is not known; give its status".to_owned());
            policy.rules.insert(0, while_inactive());
        } else if defaults.is_none() {
            notes.push(
                "what ufw does where no rule decides is not known; give the output of ufw status \
                 verbose"
                    .to_owned(),
            );
        }
        Ok(UfwWords {
            policy,
            passed_on,
            notes,
        })
    }

    /// The rules, and the family whose rules are not among them.
    fn rules(&self, of_status: Vec<UfwRule>) -> Result<(Vec<UfwRule>, Option<Family>), Error> {
        if let Some(path) = self.added {
            return Ok((read::ufw_added(path)?, None));
        }
        let read = |family, path: Option<&Path>| {
            path.map(|path| read::ufw_user_rules(path, family))
                .transpose()
        };
        let of_v4 = read(Family::Ipv4, self.user_rules)?;
        let of_v6 = read(Family::Ipv6, self.user6_rules)?;
        Ok(match (of_v4, of_v6) {
            (None, None) => (of_status, None),
            (Some(rules), None) => (rules, Some(Family::Ipv6)),
            (None, Some(rules)) => (rules, Some(Family::Ipv4)),
            (Some(mut rules), Some(of_v6)) => {
                rules.extend(of_v6);
                (rules, None)
            }
        })
    }
}

impl UfwWords {
    fn all_pass(why: &str) -> Self {
        Self {
            policy: RulePolicy::constant(UFW_POLICY_NAME, why, Verdict::Allow),
            passed_on: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The same for a comparison: rules without their numbers, which change with
    /// every rule before them.
    pub fn unnumbered(mut self) -> Self {
        for rule in &mut self.policy.rules {
            if let Some((_, words)) = rule
                .name
                .strip_prefix("rule ")
                .and_then(|name| name.split_once(": "))
            {
                rule.name = words.to_owned();
            }
        }
        self
    }
}

fn passed_on(rules: &[UfwRule], defaults: Option<UfwDefaults>) -> Vec<String> {
    let forward = rules
        .iter()
        .filter(|rule| rule.direction == UfwDirection::Forward);
    let mut words: Vec<String> = forward.map(ToString::to_string).collect();
    words.push(format!("{:?}", defaults.map(|defaults| defaults.routed)));
    words
}

/// Of a family whose rules are not given, nothing is known.
fn of_family(family: Family) -> Rule {
    let (name, addresses) = match family {
        Family::Ipv4 => ("IPv4", AddressSet::any_v4()),
        Family::Ipv6 => ("IPv6", AddressSet::any_v6()),
    };
    Rule {
        name: format!("rules for {name}, which were not given"),
        matches: FlowBox::any().with_sources(addresses).into(),
        verdict: Verdict::Unknown,
    }
}

/// Everything passes while ufw is inactive.
fn while_inactive() -> Rule {
    let mut matches = RuleMatch::from(FlowBox::any());
    matches.conditions.push(Atom {
        name: "ufw is inactive".to_owned(),
        reason: "no output of ufw status was given".to_owned(),
    });
    Rule {
        name: "ufw, if it is inactive".to_owned(),
        matches,
        verdict: Verdict::Allow,
    }
}
