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

/// Words of targets that change a packet's mark or tracking, which count wherever
/// they stand where two backends meet, or a named set, which always do.
const CHANGING: [&str; 4] = ["MARK", "CT", "TRACK", "SET"];

/// The dumps of a node that others are compared with.
#[derive(Debug, Clone)]
pub struct Exemplar {
    dumps: FirewallRuleset,
    /// One for each text of the dumps, in their order.
    sections: Vec<Vec<Section>>,
}

/// From where on a text is about a table, or about none.
#[derive(Debug, Clone)]
struct Section {
    at_byte: usize,
    chains: Option<Chains>,
}

/// Chains of a table, and whether packets of the hook can reach them.
type Chains = HashMap<String, bool>;

impl Exemplar {
    /// The dumps of a node, the firewall that was read of them, and the hook whose
    /// packets are asked about.
    pub fn new(dumps: FirewallRuleset, firewall: &NodeFirewall, hook: Hook) -> Self {
        let mut tables: HashMap<(Family, Backend, TableName), Chains> = HashMap::new();
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
        let texts = dumps.rules().into_iter();
        let sections = texts.map(|(family, backend, _, text)| {
            let table = |name| tables.get(&(family, backend, name)).cloned();
            sections(text.as_deref().unwrap_or_default(), table)
        });
        Self {
            sections: sections.collect(),
            dumps,
        }
    }

    /// Whether other dumps surely can be read and surely do the same to every
    /// packet of the hook, where the same is known of both nodes. Counters, times,
    /// and rules that such packets do not reach may differ.
    pub fn decides_as(&self, other: &FirewallRuleset, known: &mut Specifications) -> bool {
        let ours = self.dumps.rules().into_iter().zip(&self.sections);
        let mut pairs = ours.zip(other.rules());
        pairs.all(
            |(((family, _, _, ours), sections), (_, _, _, theirs))| match (ours, theirs) {
                (None, None) => true,
                (Some(ours), Some(theirs)) => {
                    let (ours, theirs) = (Lines::of(ours), Lines::of(theirs));
                    is_alike(family, sections, ours, theirs, known)
                }
                _ => false,
            },
        )
    }
}

fn sections(text: &str, table: impl Fn(TableName) -> Option<Chains>) -> Vec<Section> {
    let mut sections = vec![Section {
        at_byte: 0,
        chains: None,
    }];
    let mut lines = Lines::of(text);
    while let Some(line) = lines.line() {
        lines.go_on();
        let chains = if let Some(name) = line.strip_prefix('*') {
            TableName::from_name(name.trim()).and_then(&table)
        } else if line.trim_end() == "COMMIT" {
            None
        } else {
            continue;
        };
        sections.push(Section {
            at_byte: lines.at_byte,
            chains,
        });
    }
    sections
}

fn is_alike(
    family: Family,
    sections: &[Section],
    mut ours: Lines<'_>,
    mut theirs: Lines<'_>,
    known: &mut Specifications,
) -> bool {
    loop {
        skip_same(&mut ours, &mut theirs);
        let next = sections.partition_point(|section| section.at_byte <= ours.at_byte);
        let section = next.checked_sub(1).and_then(|at| sections.get(at));
        let chains = section.and_then(|section| section.chains.as_ref());
        match (ours.line(), theirs.line()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b => {
                ours.go_on();
                theirs.go_on();
            }
            (Some(a), _) if beside(a, chains).is_some() => ours.go_on(),
            (a, Some(b)) => match (beside(b, chains), chains) {
                (Some(specification), Some(chains)) => {
                    // A rule stands after the declarations of all chains.
                    let is_early = a.is_some_and(|a| a.starts_with(':'));
                    if is_early || !is_read_alone(family, b, specification, chains, known) {
                        return false;
                    }
                    theirs.go_on();
                }
                _ => match a {
                    Some(a) if says_the_same(a, b) => {
                        ours.go_on();
                        theirs.go_on();
                    }
                    _ => return false,
                },
            },
            _ => return false,
        }
    }
}

/// A place between two lines of a text.
#[derive(Debug, Clone, Copy)]
struct Lines<'t> {
    text: &'t str,
    at_byte: usize,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, at_byte: 0 }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at_byte..).unwrap_or_default()
    }

    /// The line after the place, as [`str::lines`] has it.
    fn line(&self) -> Option<&'t str> {
        self.rest().lines().next()
    }

    /// To the end of that line.
    fn go_on(&mut self) {
        let rest = self.rest();
        let end = memchr::memchr(b'\n', rest.as_bytes());
        self.at_byte += end.map_or(rest.len(), |at| at + 1);
    }
}

/// Passes the lines that are the same in both, which are nearly all: by words, as
/// there are millions.
fn skip_same(ours: &mut Lines<'_>, theirs: &mut Lines<'_>) {
    let (a, b) = (ours.rest().as_bytes(), theirs.rest().as_bytes());
    let (a_words, b_words) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let words = a_words.iter().zip(b_words).take_while(|(a, b)| {
        // One comparison, where that of arrays would be a call.
        u64::from_ne_bytes(**a) == u64::from_ne_bytes(**b)
    });
    let mut same = words.count() * 8;
    let rest = a.iter().skip(same).zip(b.iter().skip(same));
    same += rest.take_while(|(a, b)| a == b).count();
    if same < a.len() || same < b.len() {
        let begun = a.get(..same).unwrap_or_default();
        same = memchr::memrchr(b'\n', begun).map_or(0, |at| at + 1);
    }
    ours.at_byte += same;
    theirs.at_byte += same;
}

/// The chains of a table that packets of a hook can reach.
fn reached<'a>(table: &IndexedTable<'a>, hook: Hook) -> HashSet<&'a str> {
    let stages = hook.stages().iter();
    let built_in = stages.filter(|stage| stage.table == table.table.name);
    table.reached(built_in.map(|stage| stage.chain))
}

/// The specification of a rule that no packet of the hook comes to.
fn beside<'l>(line: &'l str, chains: Option<&Chains>) -> Option<&'l str> {
    let (_, rule) = counted(line);
    let (chain, specification) = rule.strip_prefix("-A ")?.split_once(' ')?;
    let is_reached = *chains?.get(chain)?;
    let is_changing = || CHANGING.iter().any(|word| specification.contains(word));
    (!is_reached && !is_changing()).then_some(specification)
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
    let counted = line.starts_with('[').then(|| line.split_once("] "));
    match counted.flatten() {
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
