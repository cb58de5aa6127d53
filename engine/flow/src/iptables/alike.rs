//! Dumps that do to packets what another node's do, told by comparing texts: the
//! nodes of a cluster have almost the same rules, and reading takes longer.

use hashbrown::{HashMap, HashSet};

use super::dumps::FirewallRuleset;
use super::hook::Hook;
use super::node::NodeFirewall;
use super::parse::{LINE_LIMIT_BYTES, counters};
use super::rule_parse;
use super::ruleset::{Backend, Family, TableName};
use super::specifications::Specifications;
use super::walk::IndexedTable;

/// Words of targets that change a packet's mark or tracking. Where two backends
/// meet, such a rule counts wherever it stands.
const CHANGING: [&str; 3] = ["MARK", "CT", "TRACK"];

/// The dumps of a node that others are compared with.
#[derive(Debug, Clone)]
pub struct Exemplar {
    dumps: FirewallRuleset,
    tables: HashMap<(Family, Backend, TableName), Chains>,
}

/// Chains of a table, and whether packets of the hook can reach them.
type Chains = HashMap<String, bool>;

impl Exemplar {
    /// The dumps of a node, the firewall that was read of them, and the hook whose
    /// packets are asked about.
    pub fn new(dumps: FirewallRuleset, firewall: &NodeFirewall, hook: Hook) -> Self {
        let mut tables = HashMap::new();
        for loaded in &firewall.rulesets {
            let family = loaded.ruleset.family;
            for table in &loaded.ruleset.tables {
                let reached = reached(&IndexedTable::new(family, loaded.backend, table), hook);
                let chains = table.chains.iter().map(|chain| {
                    let name = chain.name.clone();
                    let is_reached = reached.contains(chain.name.as_str());
                    (name, is_reached)
                });
                tables.insert((family, loaded.backend, table.name), chains.collect());
            }
        }
        Self { dumps, tables }
    }

    /// Whether other dumps surely can be read and surely do the same to every
    /// packet of the hook, where the same is known of both nodes. Counters, times,
    /// and rules that such packets do not reach may differ.
    pub fn decides_as(&self, other: &FirewallRuleset, known: &mut Specifications) -> bool {
        let pairs = self.dumps.rules().into_iter().zip(other.rules());
        pairs
            .into_iter()
            .all(
                |((family, backend, _, ours), (_, _, _, theirs))| match (ours, theirs) {
                    (None, None) => true,
                    (Some(ours), Some(theirs)) => {
                        self.is_alike((family, backend), ours, theirs, known)
                    }
                    _ => false,
                },
            )
    }

    fn is_alike(
        &self,
        (family, backend): (Family, Backend),
        ours: &str,
        theirs: &str,
        known: &mut Specifications,
    ) -> bool {
        let (mut ours, mut theirs) = (ours.lines(), theirs.lines());
        let (mut our, mut their) = (ours.next(), theirs.next());
        let mut chains: Option<&Chains> = None;
        loop {
            match (our, their) {
                (None, None) => return true,
                (Some(a), Some(b)) if a == b => {
                    if let Some(table) = a.strip_prefix('*') {
                        let name = TableName::from_name(table.trim());
                        chains = name.and_then(|name| self.tables.get(&(family, backend, name)));
                    } else if a.trim_end() == "COMMIT" {
                        chains = None;
                    }
                    (our, their) = (ours.next(), theirs.next());
                }
                (Some(a), _) if beside(a, chains).is_some() => our = ours.next(),
                (a, Some(b)) => match (beside(b, chains), chains) {
                    (Some(specification), Some(chains)) => {
                        // A rule stands after the declarations of all chains.
                        let is_early = a.is_some_and(|a| a.starts_with(':'));
                        if is_early || !is_read_alone(family, b, specification, chains, known) {
                            return false;
                        }
                        their = theirs.next();
                    }
                    _ => match a {
                        Some(a) if says_the_same(a, b) => {
                            (our, their) = (ours.next(), theirs.next());
                        }
                        _ => return false,
                    },
                },
                _ => return false,
            }
        }
    }
}

/// The chains of a table that packets of a hook can reach.
fn reached<'a>(table: &IndexedTable<'a>, hook: Hook) -> HashSet<&'a str> {
    let stages = hook.stages().iter();
    let built_in = stages.filter(|stage| stage.table == table.table.name);
    let mut open: Vec<&str> = built_in.map(|stage| stage.chain).collect();
    let mut seen: HashSet<&str> = open.iter().copied().collect();
    while let Some(name) = open.pop() {
        let Some(chain) = table.chain(name) else {
            continue;
        };
        let next = chain.rules.iter().filter_map(|rule| rule.target.chain());
        open.extend(next.filter(|next| seen.insert(next)));
    }
    seen
}

/// The specification of a rule that no packet of the hook comes to.
fn beside<'l>(line: &'l str, chains: Option<&Chains>) -> Option<&'l str> {
    let (_, rule) = counted(line);
    let (chain, specification) = rule.strip_prefix("-A ")?.split_once(' ')?;
    let is_reached = *chains?.get(chain)?;
    let is_changing = CHANGING.iter().any(|word| specification.contains(word));
    (!is_reached && !is_changing).then_some(specification)
}

/// Whether a rule can be read, and leads to no other: a jump could close a loop.
fn is_read_alone(
    family: Family,
    line: &str,
    specification: &str,
    chains: &Chains,
    known: &mut Specifications,
) -> bool {
    let (before, _) = counted(line);
    if line.len() > LINE_LIMIT_BYTES || before.is_some_and(|text| counters(text).is_err()) {
        return false;
    }
    let is_chain = |name: &str| chains.contains_key(name);
    let specification = specification.trim_end();
    let read = known.recall(family, specification, &is_chain).or_else(|| {
        let read = rule_parse::rule(family, specification, &is_chain).ok()?;
        let read = std::sync::Arc::new(read);
        known.remember(family, specification, &read);
        Some(read)
    });
    read.is_some_and(|read| read.target.chain().is_none())
}

/// The counters before a rule, where there are any, and the rest.
fn counted(line: &str) -> (Option<&str>, &str) {
    match line.strip_prefix('[').and(line.split_once("] ")) {
        Some((before, rest)) => (line.get(..=before.len()), rest),
        None => (None, line),
    }
}

/// Whether two lines are the same but for counters and times.
fn says_the_same(ours: &str, theirs: &str) -> bool {
    let (ours, theirs) = (ours.trim_end(), theirs.trim_end());
    for header in ["# Generated by ", "# Completed"] {
        if ours.starts_with(header) && theirs.starts_with(header) {
            let program = |line: &str| line.split(" on ").next().map(str::to_owned);
            return program(ours) == program(theirs);
        }
    }
    if ours.starts_with(':') {
        let split = |line: &str| line.find('[').map(|at| (at, line.len()));
        let (Some((a, _)), Some((b, _))) = (split(ours), split(theirs)) else {
            return false;
        };
        return ours.get(..a) == theirs.get(..b)
            && theirs.get(b..).is_some_and(|text| counters(text).is_ok());
    }
    match (counted(ours), counted(theirs)) {
        ((Some(_), ours), (Some(before), theirs)) => ours == theirs && counters(before).is_ok(),
        _ => false,
    }
}
