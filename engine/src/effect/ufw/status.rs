//! What `ufw status` prints, under `LC_ALL=C`.

use serde_json::{Value, json};

use crate::model::{
    effect::{Access, Direction, UfwRuleEffect},
    query::UfwStatus,
};

/// ufw as it shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub active: bool,
    /// "Default: deny (incoming), …"; empty when inactive.
    pub defaults: String,
    /// In order; only known when active.
    pub rules: Vec<Listed>,
    /// `/etc/default/ufw`.
    pub settings: String,
    /// Digest of what it sets in force when it is enabled; empty where unknown.
    pub files: String,
}

/// One rule as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub to: String,
    pub action: String,
    pub from: String,
    pub is_v6: bool,
}

const ACTIONS: [&str; 4] = ["ALLOW", "DENY", "REJECT", "LIMIT"];

impl Status {
    pub(super) fn inactive() -> Self {
        Self {
            active: false,
            defaults: String::new(),
            rules: Vec::new(),
            settings: String::new(),
            files: String::new(),
        }
    }

    /// ufw writes its files anew with each rule, in a form of its own.
    pub(super) fn with_unknown_files(self) -> Self {
        Self {
            files: String::new(),
            ..self
        }
    }

    pub(super) fn parse(observed: &UfwStatus) -> Result<Self, String> {
        let mut lines = observed.verbose.lines();
        match lines
            .find_map(|l| l.trim().strip_prefix("Status:"))
            .map(str::trim)
        {
            Some("active") => {}
            Some("inactive") => {
                return Ok(Self {
                    settings: observed.settings.clone(),
                    files: observed.files.clone(),
                    ..Self::inactive()
                });
            }
            Some(other) => return Err(format!("ufw's status is {other:?}")),
            None => return Err("there is no line \"Status:\"; is the output translated?".into()),
        }
        let defaults = lines.find(|l| l.trim_start().starts_with("Default:"));
        let mut rules = Vec::new();
        for line in observed.numbered.lines() {
            let Some((number, rule)) = line
                .trim_start()
                .strip_prefix('[')
                .and_then(|l| l.split_once(']'))
            else {
                continue;
            };
            let expected = rules.len() + 1;
            if number.trim().parse() != Ok(expected) {
                return Err(format!("rule {expected} is numbered {number:?}"));
            }
            rules.push(Listed::parse(rule).ok_or_else(|| format!("rule {expected} is {rule:?}"))?);
        }
        Ok(Self {
            active: true,
            defaults: defaults.unwrap_or_default().trim().to_owned(),
            rules,
            settings: observed.settings.clone(),
            files: observed.files.clone(),
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "active": self.active,
            "defaults": self.defaults,
            "rules": self.rules.iter().map(Listed::line).collect::<Vec<_>>(),
        })
    }

    pub(super) fn listing(&self) -> String {
        if !self.active {
            return "Status: inactive\n".to_owned();
        }
        let mut text = format!("Status: active\n{}\n", self.defaults);
        for rule in &self.rules {
            text.push_str(&rule.line());
            text.push('\n');
        }
        text
    }

    /// As it would be observed.
    pub(super) fn observed(&self) -> UfwStatus {
        if !self.active {
            return UfwStatus {
                installed: true,
                verbose: "Status: inactive\n".to_owned(),
                numbered: "Status: inactive\n".to_owned(),
                settings: self.settings.clone(),
                files: self.files.clone(),
            };
        }
        let numbered = (1..).zip(&self.rules);
        let numbered: String = numbered
            .map(|(n, rule)| format!("[{n:2}] {}\n", rule.line()))
            .collect();
        UfwStatus {
            installed: true,
            verbose: format!("Status: active\n{}\n", self.defaults),
            numbered: format!(
                "Status: active\n\n     To  Action  From\n     --  ------  ----\n{numbered}"
            ),
            settings: self.settings.clone(),
            files: self.files.clone(),
        }
    }
}

impl Listed {
    /// The rule that an effect stands for.
    pub(super) fn of(rule: &UfwRuleEffect) -> Self {
        let is_any = |text: &str| text.is_empty() || text == "any";
        let address = |text: &str| match text {
            text if is_any(text) => None,
            // ufw lists a host without its prefix length.
            text => Some(text.strip_suffix("/32").unwrap_or(text).to_owned()),
        };
        let port = match (is_any(&rule.port), is_any(&rule.protocol)) {
            (true, true) => None,
            (true, false) => Some(rule.protocol.clone()),
            (false, true) => Some(rule.port.clone()),
            (false, false) => Some(format!("{}/{}", rule.port, rule.protocol)),
        };
        let destination = address(&rule.destination);
        let to: Vec<String> = match (destination, port, is_any(&rule.port)) {
            (Some(address), Some(protocol), true) => vec![format!("{address}/{protocol}")],
            (None, Some(protocol), true) => vec![format!("Anywhere/{protocol}")],
            (address, port, _) => address.into_iter().chain(port).collect(),
        };
        let anywhere = || "Anywhere".to_owned();
        Self {
            to: if to.is_empty() {
                anywhere()
            } else {
                to.join(" ")
            },
            action: format!(
                "{} {}",
                match rule.access {
                    Access::Allow => "ALLOW",
                    Access::Deny => "DENY",
                },
                match rule.direction {
                    Direction::Inbound => "IN",
                    Direction::Outbound => "OUT",
                }
            ),
            from: address(&rule.source).unwrap_or_else(anywhere),
            is_v6: rule.source.contains(':') || rule.destination.contains(':'),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let at = words.iter().position(|w| ACTIONS.contains(w))?;
        let (to, rest) = words.split_at(at);
        let (action, from) = rest.split_at_checked(2)?;
        let is_v6 = words.contains(&"(v6)") || words.iter().any(|w| is_v6_address(w));
        let join = |words: &[&str]| {
            let kept: Vec<&str> = words
                .iter()
                .copied()
                .filter(|w| !matches!(*w, "(v6)" | "(out)" | "(log)" | "(log-all)"))
                .collect();
            kept.join(" ")
        };
        let listed = Self {
            to: join(to),
            action: action.join(" "),
            from: join(from),
            is_v6,
        };
        (!listed.to.is_empty() && !listed.from.is_empty()).then_some(listed)
    }

    /// Whether ufw makes a rule for each family of it.
    pub(super) fn covers_both_families(&self) -> bool {
        let bare = |side: &str| {
            !side
                .split(['/', ' '])
                .any(|w| w.parse::<std::net::IpAddr>().is_ok())
        };
        bare(&self.to) && bare(&self.from)
    }

    pub(super) fn for_v6(mut self) -> Self {
        self.is_v6 = true;
        self
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.action == other.action && self.has_match_of(other)
    }

    pub(super) fn has_match_of(&self, other: &Self) -> bool {
        let way = |listed: &Self| listed.action.rsplit(' ').next().map(str::to_owned);
        self.to == other.to
            && self.from == other.from
            && self.is_v6 == other.is_v6
            && way(self) == way(other)
    }

    fn line(&self) -> String {
        let (to_v6, from_v6) = if self.is_v6 {
            (" (v6)", " (v6)")
        } else {
            ("", "")
        };
        let to = format!("{}{to_v6}", self.to);
        format!("{to:<26} {:<11} {}{from_v6}", self.action, self.from)
    }
}

fn is_v6_address(word: &str) -> bool {
    let address = word.split('/').next().unwrap_or_default();
    address.parse::<std::net::Ipv6Addr>().is_ok()
}
